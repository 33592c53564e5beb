// Points on the thing that is cut out, and beside it: how they are counted, added and taken away.

import { moved } from "attnscope/cells";
import { MOST_POINTS } from "attnscope/fields";
import { set } from "attnscope/state";

/** @import { State } from "attnscope/state" */
/** @import { Grid, Place, TraceInfo } from "attnscope/types" */

/** @typedef {{ sign: "plus" | "minus", at: Place }} Point */

/** @param {number} share @param {number} count */
const pixel = (share, count) => Math.min(Math.floor(share * count + 1e-6), count - 1);

/**
 * (x, y) of a point in pixels of the trace's picture, as the library counts them
 * @param {Point} point
 * @param {TraceInfo} info
 * @returns {[x: number, y: number]}
 */
export const pixelOf = ({ at: [y, x] }, { size: [height, width] }) => [pixel(x, width), pixel(y, height)];

/**
 * The points of one sign, in pixels
 * @param {Point[]} points
 * @param {Point["sign"]} sign
 * @param {TraceInfo} info
 */
export const pixelsOf = (points, sign, info) =>
  points.filter((point) => point.sign === sign).map((point) => pixelOf(point, info));

/**
 * One more point, in the middle of its pixel; one on the same pixel goes, and the oldest of too many
 * @param {Point[]} points
 * @param {Point} point
 * @param {TraceInfo} info
 * @returns {Point[]}
 */
export function withPoint(points, point, info) {
  const [x, y] = pixelOf(point, info);
  const [height, width] = info.size;
  const others = points.filter((other) => pixelOf(other, info).join() !== `${x},${y}`);
  /** @type {Place} */
  const middle = [(y + 0.5) / height, (x + 0.5) / width];
  return [...others, { ...point, at: middle }].slice(-MOST_POINTS);
}

/**
 * What a click or a key adds: Shift turns the sign
 * @param {State} state
 * @param {Place} place
 * @param {boolean} turned
 * @param {TraceInfo} info
 * @returns {Partial<State>}
 */
export function pointed(state, place, turned, info) {
  const other = state.sign === "plus" ? "minus" : "plus";
  return { points: withPoint(state.points, { sign: turned ? other : state.sign, at: place }, info) };
}

/** @param {Place} place @param {boolean} turned @param {TraceInfo} info */
export const addPoint = (place, turned, info) => set((state) => pointed(state, place, turned, info));

/** @param {number} number */
export const removePoint = (number) =>
  set(({ points }) => ({ points: points.filter((_, other) => other !== number) }));

/** @type {Grid} */
const STEPS = [64, 64]; // in which arrows cross the picture, with Shift eight at once

/** @type {Map<string, Place>} */
const MOVES = new Map([
  ["ArrowUp", [-1, 0]],
  ["ArrowDown", [1, 0]],
  ["ArrowLeft", [0, -1]],
  ["ArrowRight", [0, 1]],
]);

/**
 * What a key on the picture changes, null for nothing
 * @param {Pick<KeyboardEvent, "key" | "shiftKey">} event
 * @param {State} state
 * @param {TraceInfo} info
 * @returns {Partial<State> | null}
 */
export function pointKey({ key, shiftKey }, state, info) {
  const place = cursorOf(state);
  const step = MOVES.get(key);
  if (step) {
    const [down, right] = step;
    return { cursor: moved(place, shiftKey ? [8 * down, 8 * right] : step, STEPS) };
  }
  if (key === "Enter" || key === " ") return { cursor: place, ...pointed(state, place, shiftKey, info) };
  if (key === "Delete" || key === "Backspace") return { points: state.points.slice(0, -1) };
  return key === "Escape" ? { cursor: null } : null;
}

/**
 * Where arrows start: at the cursor, else at the last point
 * @param {State} state
 * @returns {Place}
 */
function cursorOf({ cursor, points }) {
  return cursor?.length === 2 ? cursor : (points.at(-1)?.at ?? [0.5, 0.5]);
}
