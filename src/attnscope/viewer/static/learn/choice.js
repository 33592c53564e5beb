// What a lesson is about: one place of one head of one layer in one step.

import { cellsOf } from "attnscope/cells";
import { layersOf } from "attnscope/look";
import { set } from "attnscope/state";

/** @import { State } from "attnscope/state" */
/** @import { Box, Kind, LayerInfo, Place, TraceInfo } from "attnscope/types" */
/** @import { Chosen } from "attnscope/learn/types" */

/** @type {Place} */
const MIDDLE = [0.5, 0.5];

/**
 * Means are no computation: where the state asks for one, a single block, head or step stands in. Null where
 * the trace has no layer of either kind.
 * @param {TraceInfo} info
 * @param {State} state
 * @returns {Chosen | null}
 */
export function chosenOf(info, state) {
  const kind = kindIn(info, state.kind);
  const layers = layersOf(info, kind);
  const layer = layers.find((one) => one.block === state.block) ?? firstLayer(layers);
  if (!layer) return null;
  const head = state.head !== null && state.head < layer.heads ? state.head : 0;
  const image = info.images[state.image] ? state.image : 0;
  const branch = info.branches.includes(state.branch) ? state.branch : (info.branches.at(-1) ?? "cond");
  const view = { block: layer.block, head, step: stepIn(info, state), branch, image };
  return { layer, view, place: placeOf(state) };
}

/**
 * @param {TraceInfo} info
 * @param {Kind} kind
 * @returns {Kind}
 */
function kindIn(info, kind) {
  if (layersOf(info, kind).length) return kind;
  return kind === "self" ? "cross" : "self";
}

/**
 * The first layer of the second finest grid, on the way up where there is one: fine enough to see things,
 * coarse enough that they have meaning
 * @param {LayerInfo[]} layers
 * @returns {LayerInfo | undefined}
 */
export function firstLayer(layers) {
  const sizes = [...new Set(layers.map(({ grid }) => grid[0] * grid[1]))].sort((one, other) => other - one);
  const second = layers.filter(({ grid }) => grid[0] * grid[1] === (sizes[1] ?? sizes[0]));
  return second.find((layer) => layer.stage === "up") ?? second[0];
}

/**
 * The one that the state names, else one at two thirds of the run, where the picture has formed
 * @param {TraceInfo} info
 * @param {State} state
 */
function stepIn({ steps }, { step }) {
  const known = steps.find(({ index }) => index === step);
  return (known ?? steps[Math.floor((2 * steps.length) / 3)]).index;
}

/**
 * The pinned place, the middle of a pinned region
 * @param {Pick<State, "pins" | "pin">} state
 * @returns {Place}
 */
export function placeOf({ pins, pin }) {
  const box = pins[pin ?? 0] ?? pins.at(-1) ?? MIDDLE;
  return box.length === 2 ? box : [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2];
}

/**
 * Row and column of the place on the layer's grid
 * @param {Chosen} chosen
 */
export const cellOf = ({ place, layer }) => cellsOf(place, layer.grid).slice(0, 2);

/** The pinned place moves. @param {Place} place */
export const moveTo = (place) => set((state) => movedPin(state, place));

/**
 * @param {Pick<State, "pins" | "pin">} state
 * @param {Place} place
 * @returns {Partial<State>}
 */
export function movedPin({ pins, pin }, place) {
  const at = Math.min(pin ?? 0, Math.max(pins.length - 1, 0));
  /** @type {Box[]} */
  const moved = pins.length ? pins.with(at, place) : [place];
  return { pins: moved, pin: at };
}
