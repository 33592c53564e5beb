// Maps as pixels.

import assert from "node:assert/strict";
import { test } from "node:test";
import { cssColour, mapImage, paint, sampled } from "attnscope/paint";
import { table } from "attnscope/ramps";
import { colours } from "./made.js";

/** @import { Style } from "attnscope/paint" */
/** @import { FieldMap } from "attnscope/types" */

/**
 * @param {number[][]} rows
 * @returns {FieldMap}
 */
function madeMap(rows) {
  const values = Float32Array.from(rows.flat());
  const maximum = Math.max(...values);
  const numbers = { number: null, mean: 0, minimum: 0, maximum, entropy_bits: 0 };
  return { ...numbers, peak: [0, 0], height: rows.length, width: rows[0].length, values };
}

/** @type {Style} */
const STYLE = {
  colours: "viridis",
  scale: "linear",
  top: null,
  opacity: 1,
  through: false,
  contour: false,
  cells: true,
};

test("between the middles of cells values are mixed, outside them they stay", () => {
  const values = sampled(madeMap([[0, 4]]), 1, 8, false);
  assert.deepEqual([...values], [0, 0, 0.5, 1.5, 2.5, 3.5, 4, 4]);
});

test("values are mixed down as well as across", () => {
  const map = madeMap([
    [16, 0],
    [0, 16],
  ]);
  assert.deepEqual([...sampled(map, 4, 4, false)], [16, 12, 4, 0, 12, 10, 6, 4, 4, 6, 10, 12, 0, 4, 12, 16]);
});

test("cells as squares are even", () => {
  assert.deepEqual(
    [
      ...sampled(
        madeMap([
          [1, 2],
          [3, 4],
        ]),
        2,
        6,
        true,
      ),
    ],
    [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4],
  );
});

test("a map smaller than its cells shows some of them", () => {
  assert.deepEqual([...sampled(madeMap([[1, 2, 3, 4]]), 1, 2, true)], [2, 4]);
});

test("the map's maximum is the ramp's last colour, and 0 its first", () => {
  const [low, high] = colours(mapImage(madeMap([[0, 0.3]]), 1, 2, STYLE));
  assert.deepEqual(low, [...table("viridis").subarray(0, 3), 255]);
  assert.deepEqual(high, [...table("viridis").subarray(-3), 255]);
});

test("a fixed top is the ramp's last colour, and what is brighter too", () => {
  const found = colours(mapImage(madeMap([[0.1, 0.2, 0.4]]), 1, 3, { ...STYLE, top: 0.2 }));
  const ramp = table("viridis");
  assert.deepEqual(found[0].slice(0, 3), [...ramp.subarray(3 * 128, 3 * 129)]);
  assert.deepEqual(found[1], found[2]);
  assert.deepEqual(found[2].slice(0, 3), [...ramp.subarray(-3)]);
});

test("the picture shows through the more, the lower the value is on the scale", () => {
  const style = { ...STYLE, opacity: 0.8, through: true };
  const alphas = (/** @type {Style} */ own) =>
    colours(mapImage(madeMap([[0, 0.005, 0.5, 1]]), 1, 4, own)).map((one) => one[3]);
  assert.deepEqual(alphas(style), [0, 1, 102, 204]);
  assert.deepEqual(alphas({ ...style, scale: "log" }), [0, 47, 183, 204]);
});

test("else opacity is the same everywhere", () => {
  const found = colours(mapImage(madeMap([[0, 1]]), 1, 2, { ...STYLE, opacity: 0.4 }));
  assert.deepEqual(
    found.map((one) => one[3]),
    [102, 102],
  );
});

test("contours run where a quarter of the scale is passed, above and left of it", () => {
  const map = madeMap([
    [0, 0.2, 0.3, 0.6, 0.7, 0.8, 1],
    [0, 0.2, 0.3, 0.6, 0.7, 0.8, 0],
    [0, 0.2, 0.3, 0.6, 0.7, 0.8, 0],
  ]);
  const found = colours(mapImage(map, 3, 7, { ...STYLE, contour: true }));
  const white = found.flatMap((one, at) => (one.join() === "255,255,255,255" ? [at] : []));
  assert.deepEqual(white, [1, 2, 4, 8, 9, 11, 12]);
  assert.ok(!colours(mapImage(map, 3, 7, STYLE)).some((one) => one.join() === "255,255,255,255"));
});

test("a colour is red, green, blue, alpha in memory", () => {
  const bytes = new Uint8Array(Uint32Array.of(paint([1, 2, 250], 1)).buffer);
  assert.deepEqual([...bytes], [1, 2, 250, 255]);
  assert.equal(cssColour(Uint8Array.of(1, 2, 250)), "rgb(1 2 250)");
});
