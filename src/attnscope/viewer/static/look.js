// What the state asks for: the place, the words or the segments that are looked at in a trace.

import { later, t } from "attnscope/lang";
import { namesOf } from "attnscope/words";

/** @import { State } from "attnscope/state" */
/** @import { Box, Grid, Kind, LayerInfo, Recipe, Source, TraceInfo, View } from "attnscope/types" */

/**
 * @param {State} state
 * @returns {View}
 */
export function viewOf({ block, head, step, branch, image }) {
  return { block, head, step, branch, image };
}

/**
 * The place or part under the cursor, else the chosen pin
 * @param {State} state
 * @returns {Box | null}
 */
export function boxOf({ cursor, pins, pin }) {
  return cursor ?? pins[pin ?? 0] ?? pins.at(-1) ?? null;
}

/**
 * @param {TraceInfo} info
 * @param {Kind} kind
 */
export const layersOf = (info, kind) => info.layers.filter((layer) => layer.kind === kind);

/**
 * @param {State} state
 * @returns {Kind}
 */
export function kindOf({ mode, kind }) {
  if (mode === "learn") return kind;
  return ["words", "edit"].includes(mode) ? "cross" : "self";
}

/**
 * Whether a layer's softmax is over other keys, too, so that its rows do not sum to 1
 * @param {LayerInfo} layer
 */
export const isPart = ({ kind, grid, keys, softmax }) =>
  softmax > (kind === "self" ? grid[0] * grid[1] : keys);

/** @type {Record<string, string>} */
const STAGES = { down: later("down"), mid: later("mid"), up: later("up") };

/** A part of the model; the lists of a transformer have their own names. @param {string} stage */
export const stageName = (stage) => t(STAGES[stage] ?? stage);

/**
 * The grid that places are on: of the chosen block, else the finest
 * @param {TraceInfo} info
 * @param {State} state
 * @returns {Grid}
 */
export function gridOf(info, state) {
  const layers = layersOf(info, kindOf(state));
  const chosen = layers.find((layer) => layer.block === state.block);
  return chosen?.grid ?? finest(layers.map((layer) => layer.grid));
}

/** @param {Grid[]} grids */
function finest(grids) {
  /** @type {Grid} */
  const one = [1, 1];
  return grids.reduce((best, grid) => (grid[0] * grid[1] > best[0] * best[1] ? grid : best), one);
}

/**
 * @param {TraceInfo} info
 * @param {State} state
 */
export const tauOf = (info, state) => state.tau ?? info.threshold;

/**
 * @param {State} state
 * @returns {Source}
 */
export function sourceOf({ step, branch, image, weights }) {
  return { step, branch, image, weights };
}

/**
 * The weight of each scale as [height, weight], none for the paper's
 * @param {State} state
 */
export function weightsOf({ weights }) {
  const pairs = weights.split(",").filter(Boolean);
  return pairs.map((pair) => pair.split(":"));
}

/**
 * @param {TraceInfo} info
 * @param {State} state
 * @returns {Recipe}
 */
export function recipeOf(info, state) {
  return {
    threshold: tauOf(info, state),
    passes: state.passes,
    anchors: state.anchors,
    unite: state.unite,
    word: [...namesOf(info, state)].sort((one, other) => one - other),
  };
}

/**
 * How many heads can be chosen: those of the chosen block, else those that every block has
 * @param {TraceInfo} info
 * @param {State} state
 */
export function headsOf(info, state) {
  const layers = layersOf(info, kindOf(state));
  const chosen = layers.filter((layer) => layer.block === state.block);
  return layers.length ? Math.min(...(chosen.length ? chosen : layers).map((layer) => layer.heads)) : 0;
}

/**
 * The view of all blocks; a head that some block lacks is not asked for in all of them
 * @param {TraceInfo} info
 * @param {State} state
 * @returns {View}
 */
export function everywhere(info, state) {
  const least = Math.min(...info.layers.map((layer) => layer.heads));
  const head = state.head !== null && state.head < least ? state.head : null;
  return { ...viewOf(state), block: null, head };
}
