// Places and regions as cells.

import assert from "node:assert/strict";
import { test } from "node:test";
import { cellsOf, moved, placeText, stretched } from "attnscope/cells";

test("a place is in one cell", () => {
  assert.deepEqual(cellsOf([0.3, 0.7], [8, 12]), [2, 8, 2, 8]);
  assert.deepEqual(cellsOf([0, 0], [8, 12]), [0, 0, 0, 0]);
  assert.deepEqual(cellsOf([0.9999, 1], [8, 12]), [7, 11, 7, 11]);
});

test("a region has all cells that it touches, and no more where it ends on an edge", () => {
  assert.deepEqual(cellsOf([0.25, 0.25, 0.5, 0.5], [8, 12]), [2, 3, 3, 5]);
  assert.deepEqual(cellsOf([0.25, 0.25, 0.51, 0.51], [8, 12]), [2, 3, 4, 6]);
  assert.deepEqual(cellsOf([0, 0, 1, 1], [8, 12]), [0, 0, 7, 11]);
});

test("a region without height is the cell it lies in", () => {
  assert.deepEqual(cellsOf([0.5, 0.5, 0.5, 0.9], [8, 12]), [4, 6, 4, 10]);
});

test("cells survive the rounding of a link", () => {
  for (const count of [7, 12, 33, 64, 96])
    for (let cell = 0; cell < count; cell++) {
      const [low, high] = [cell, cell + 1].map((edge) => Math.round((edge / count) * 1e8) / 1e8);
      assert.deepEqual(cellsOf([low, low, high, high], [count, count]), [cell, cell, cell, cell]);
    }
});

test("places and regions are told in rows and columns", () => {
  assert.equal(placeText([0.3, 0.7], [8, 12]), "row 2, column 8");
  assert.equal(placeText([0.25, 0.25, 0.5, 0.5], [8, 12]), "rows 2–3, columns 3–5");
});

test("the cursor moves by a cell, to its middle, and stays in the picture", () => {
  assert.deepEqual(moved([0.3, 0.7], [1, 0], [8, 12]), [3.5 / 8, 8.5 / 12]);
  assert.deepEqual(moved([0.3, 0.7], [0, -1], [8, 12]), [2.5 / 8, 7.5 / 12]);
  assert.deepEqual(moved([0, 0], [-1, -1], [8, 12]), [0.5 / 8, 0.5 / 12]);
  assert.deepEqual(moved([0.99, 0.99], [1, 1], [8, 12]), [7.5 / 8, 11.5 / 12]);
});

test("a region grows from the cursor's cell, shrinks to one cell, and stays in the picture", () => {
  assert.deepEqual(stretched([0.3, 0.7], [0, 1], [8, 12]), [2 / 8, 8 / 12, 3 / 8, 10 / 12]);
  assert.deepEqual(stretched([2 / 8, 8 / 12, 3 / 8, 10 / 12], [1, 0], [8, 12]), [
    2 / 8,
    8 / 12,
    4 / 8,
    10 / 12,
  ]);
  assert.deepEqual(stretched([2 / 8, 8 / 12, 3 / 8, 9 / 12], [-1, -1], [8, 12]), [
    2 / 8,
    8 / 12,
    3 / 8,
    9 / 12,
  ]);
  assert.deepEqual(stretched([0.5, 0.5, 1, 1], [1, 1], [8, 12]), [0.5, 0.5, 1, 1]);
});
