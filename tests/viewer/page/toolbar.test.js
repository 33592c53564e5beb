// Where arrows lead in a group of buttons.

import assert from "node:assert/strict";
import { test } from "node:test";
import { next } from "attnscope/toolbar";

/** @param {[left: number, top: number][]} corners of squares of 10 */
const squares = (corners) => corners.map(([left, top]) => ({ left, top, width: 10, height: 10 }));

const GRID = squares([
  [0, 0],
  [20, 0],
  [40, 0],
  [0, 20],
  [40, 20],
]);

/** @param {string} key @param {number} from */
const go = (key, from) => next(key, GRID, from);

test("arrows lead to the nearest in their direction", () => {
  assert.deepEqual(
    [go("ArrowRight", 0), go("ArrowLeft", 2), go("ArrowDown", 0), go("ArrowUp", 4)],
    [1, 1, 3, 2],
  );
  assert.equal(go("ArrowRight", 3), 4);
});

test("down leads to the nearest where none is straight below, up from the first line nowhere", () => {
  assert.equal(go("ArrowDown", 1), 3);
  assert.equal(go("ArrowUp", 1), null);
});

test("left and right go on in the line before or after, and end at the ends", () => {
  assert.deepEqual([go("ArrowRight", 2), go("ArrowLeft", 3)], [3, 2]);
  assert.deepEqual([go("ArrowLeft", 0), go("ArrowRight", 4)], [null, null]);
});

test("Home and End are the first and the last; other keys lead nowhere", () => {
  assert.deepEqual([go("Home", 3), go("End", 0), go("a", 0), go("constructor", 0)], [0, 4, null, null]);
  assert.deepEqual([next("Home", [], 0), go("ArrowRight", -1)], [null, null]);
});
