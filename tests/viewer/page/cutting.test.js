// Masks: their bits as pixels, and how they lie over the picture.

import assert from "node:assert/strict";
import { test } from "node:test";
import { cutImage, unpacked } from "attnscope/tools/cutting";
import { colours } from "./made.js";

test("bits are pixels, the highest of a byte first", () => {
  assert.deepEqual([...unpacked(Uint8Array.of(0b10110000, 0b01000000), 10)], [1, 0, 1, 1, 0, 0, 0, 0, 0, 1]);
  assert.equal(unpacked(Uint8Array.of(255), 3).length, 3);
});

const CUT = { height: 2, width: 4, area: 3, share: 3 / 8, score: 1, layers: [] };

test("it is dark beside the thing, clear on it, white between", () => {
  const cut = { ...CUT, pixels: Uint8Array.of(0, 0, 1, 1, 0, 0, 0, 1) };
  const seen = colours(cutImage(cut, 2, 4, 1)).map(([red, , , alpha]) =>
    red === 255 ? "line" : alpha ? "dark" : "clear",
  );
  assert.deepEqual(seen, ["dark", "line", "line", "clear", "dark", "dark", "line", "clear"]);
});

test("at another size each pixel is that of the mask below its middle", () => {
  const cut = { ...CUT, pixels: Uint8Array.of(1, 1, 0, 0, 1, 1, 0, 0) };
  const alphas = colours(cutImage(cut, 4, 8, 0.5)).map((colour) => colour[3]);
  const row = [0, 0, 0, 255, 108, 108, 108, 108];
  assert.deepEqual(alphas, [...row, ...row, ...row, ...row]);
});
