// Segments as pixels, in the colours that the server tells.

import assert from "node:assert/strict";
import { test } from "node:test";
import { depths, innermost, labelAt, resized, segmentsImage } from "attnscope/labels";
import { colours } from "./made.js";

/** @import { Found, Rgb } from "attnscope/types" */

/** @type {Rgb[]} */
const COLOURS = [
  [200, 10, 20],
  [30, 200, 40],
  [50, 60, 200],
];
const WHITE = [255, 255, 255, 255];

/**
 * @param {number[][]} rows
 * @returns {Found}
 */
function madeFound(rows) {
  const [height, width] = [rows.length, rows[0].length];
  const labels = Uint16Array.from(rows.flat());
  const all = { height, width, thresholds: [1], colours: COLOURS, segments: [] };
  return { ...all, labels, labels_height: height, labels_width: width };
}

const TWO = [
  [0, 0, 1, 1],
  [0, 0, 1, 1],
  [2, 2, 2, 2],
];

test("a place has the label of its pixel", () => {
  const found = madeFound(TWO);
  const places = /** @type {[number, number][]} */ ([
    [0, 0],
    [0, 0.49],
    [0, 0.5],
    [0.66, 0.99],
    [0.67, 0],
    [0.9999, 0.9999],
  ]);
  assert.deepEqual(
    places.map((place) => labelAt(found, place)),
    [0, 0, 1, 1, 2, 2],
  );
});

test("labels are enlarged and reduced by the pixel at the same place", () => {
  assert.deepEqual([...resized(madeFound([[0, 1]]), 2, 4)], [0, 0, 1, 1, 0, 0, 1, 1]);
  assert.deepEqual([...resized(madeFound([[0, 1, 2, 0]]), 1, 2)], [1, 0]);
});

test("a segment has its own colour, with white where the next one begins, right or below", () => {
  const found = colours(segmentsImage(madeFound(TWO), 3, 4, 1, null));
  const [first, second, third] = COLOURS.map((colour) => [...colour, 255]);
  assert.deepEqual(found, [
    first,
    WHITE,
    second,
    second,
    WHITE,
    WHITE,
    WHITE,
    WHITE,
    third,
    third,
    third,
    third,
  ]);
});

test("no line runs along the picture's own border", () => {
  const found = colours(
    segmentsImage(
      madeFound([
        [0, 0],
        [0, 0],
      ]),
      2,
      2,
      1,
      null,
    ),
  );
  assert.ok(found.every((one) => one.join() === "200,10,20,255"));
  const rows = colours(
    segmentsImage(
      madeFound([
        [0, 0, 1],
        [0, 0, 1],
      ]),
      2,
      3,
      1,
      null,
    ),
  );
  assert.deepEqual(rows[2], [30, 200, 40, 255]); // a row's last pixel has no neighbour in the next row
});

test("the segment under the cursor stands out", () => {
  const found = colours(segmentsImage(madeFound([[0, 0, 1, 1]]), 1, 4, 0.5, 1));
  assert.deepEqual([found[0][3], found[3][3]], [Math.round(0.15 * 255), 128]);
});

test("colours are lit as the picture is, as in Python's overlay; opaque ones are plain", () => {
  const found = madeFound([[0, 0, 0]]);
  const light = Uint8Array.of(0, 163, 255); // 163: where a colour is as it is
  const shown = colours(segmentsImage(found, 1, 3, 0.8, null, light));
  assert.deepEqual(shown[1], [199, 9, 19, 204]);
  const shade = (/** @type {number} */ factor) => [200, 10, 20].map((one) => Math.trunc(one * factor));
  assert.deepEqual(shown[0].slice(0, 3), shade(1 - 0.7 * 0.64));
  assert.deepEqual(shown[2].slice(0, 3), shade(1 + 0.7 * 0.36));
  assert.deepEqual(colours(segmentsImage(found, 1, 3, 1, null, light))[0], [200, 10, 20, 255]);
});

test("depths are steps to another label", () => {
  const rim = -1;
  const labels = Int32Array.from(
    [
      [rim, rim, rim, rim, rim],
      [rim, 7, 7, 7, rim],
      [rim, 7, 7, 7, rim],
      [rim, 7, 7, 7, rim],
      [rim, rim, rim, rim, rim],
    ].flat(),
  );
  assert.deepEqual(
    [...depths(labels, 5)].filter((one) => one > 0),
    [1, 1, 1, 1, 2, 1, 1, 1, 1],
  );
});

test("names stand deepest inside their segments", () => {
  const places = innermost(madeFound(TWO), [0, 1, 2, 9]);
  assert.deepEqual([...places.keys()], [0, 1, 2]);
  const [first, second, strip] = places.values();
  /** @param {number} found @param {number} expected */
  const near = (found, expected) => Math.abs(found - expected) < 1 / 96;
  assert.ok(near(first[1], 0.25) && first[0] > 0.24 && first[0] < 0.43, first.join());
  assert.ok(near(second[1], 0.75) && second[0] > 0.24 && second[0] < 0.43, second.join());
  assert.ok(near(strip[0], 5 / 6) && strip[1] > 0.15 && strip[1] < 0.85, strip.join());
});

test("a ring's name stands in the ring, not in its hole", () => {
  const sides = Array.from({ length: 96 }, (_, at) => Math.abs(at - 47.5));
  const found = madeFound(sides.map((y) => sides.map((x) => (Math.max(y, x) < 30 ? 1 : 0))));
  for (const [id, place] of innermost(found, [0, 1])) assert.equal(labelAt(found, place), id);
});
