// Points that cut something out: in which pixel each is, how they come and go.

import assert from "node:assert/strict";
import { test } from "node:test";
import { MOST_POINTS } from "attnscope/fields";
import { pixelOf, pixelsOf, pointed, pointKey, withPoint } from "attnscope/tools/points";
import { madeState, madeTrace } from "./made.js";

/** @import { Point } from "attnscope/tools/points" */
/** @import { State } from "attnscope/state" */

const info = madeTrace(); // 64 x 96

/** @param {number} y @param {number} x @param {Point["sign"]} sign @returns {Point} */
const point = (y, x, sign = "plus") => ({ sign, at: [y, x] });

test("a point is in the pixel that it lies in, also at the far edge and after rounding", () => {
  assert.deepEqual(pixelOf(point(0, 0), info), [0, 0]);
  assert.deepEqual(pixelOf(point(0.9999, 0.9999), info), [95, 63]);
  assert.deepEqual(pixelOf(point(0.5, 0.25), info), [24, 32]);
  for (let x = 0; x < 96; x++) {
    const share = Math.round(((x + 0.5) / 96) * 1e8) / 1e8;
    assert.equal(pixelOf(point(0, share), info)[0], x);
  }
});

test("points of a sign are told in their order", () => {
  const points = [point(0, 0.5), point(0.5, 0, "minus"), point(0.75, 0.75)];
  assert.deepEqual(pixelsOf(points, "plus", info), [
    [48, 0],
    [72, 48],
  ]);
  assert.deepEqual(pixelsOf(points, "minus", info), [[0, 32]]);
});

test("a point goes to the middle of its pixel, and takes the place of one there", () => {
  const one = withPoint([], point(0.5001, 0.2501), info);
  assert.deepEqual(one, [{ sign: "plus", at: [32.5 / 64, 24.5 / 96] }]);
  const other = withPoint(one, point(0.502, 0.252, "minus"), info);
  assert.deepEqual(other, [{ sign: "minus", at: [32.5 / 64, 24.5 / 96] }]);
});

test("the oldest goes where there are too many", () => {
  /** @type {Point[]} */
  let points = [];
  for (let at = 0; at < MOST_POINTS + 3; at++) points = withPoint(points, point(0, at / 96), info);
  assert.equal(points.length, MOST_POINTS);
  assert.equal(pixelOf(points[0], info)[0], 3);
});

test("Shift turns what a click is", () => {
  /** @param {State["sign"]} sign @param {boolean} turned */
  const signOf = (sign, turned) => pointed(madeState({ sign }), [0, 0], turned, info).points?.[0].sign;
  assert.deepEqual(
    [signOf("plus", false), signOf("plus", true), signOf("minus", false), signOf("minus", true)],
    ["plus", "minus", "minus", "plus"],
  );
});

/** @param {string} key @param {Partial<State>} state @param {boolean} shiftKey */
const change = (key, state = {}, shiftKey = false) => pointKey({ key, shiftKey }, madeState(state), info);

test("arrows move the cursor from the middle, from the last point, from itself; with Shift farther", () => {
  assert.deepEqual(change("ArrowDown")?.cursor, [33.5 / 64, 32.5 / 64]);
  assert.deepEqual(change("ArrowLeft", { points: [point(0.25, 0.25)] })?.cursor, [16.5 / 64, 15.5 / 64]);
  assert.deepEqual(change("ArrowUp", { cursor: [0, 0] })?.cursor, [0.5 / 64, 0.5 / 64]);
  assert.deepEqual(change("ArrowRight", { cursor: [0, 0] }, true)?.cursor, [0.5 / 64, 8.5 / 64]);
});

test("Enter adds a point at the cursor, with Shift one beside the thing; Delete takes the last away", () => {
  const cursor = /** @type {[number, number]} */ ([0.5, 0.5]);
  assert.deepEqual(change("Enter", { cursor })?.points, [{ sign: "plus", at: [32.5 / 64, 48.5 / 96] }]);
  assert.equal(change(" ", { cursor }, true)?.points?.[0].sign, "minus");
  const points = [point(0, 0), point(0.5, 0.5)];
  assert.deepEqual(change("Delete", { points })?.points, points.slice(0, 1));
  assert.deepEqual(change("Backspace")?.points, []);
  assert.deepEqual(change("Escape", { cursor }), { cursor: null });
  for (const key of ["Tab", "x", "constructor"]) assert.equal(change(key), null);
});
