// Maps as the server packs them, and their numbers on a scale and in words.

import assert from "node:assert/strict";
import { test } from "node:test";
import { percent, shade, unpack, valueOf } from "attnscope/maps";

/**
 * The body of encoding.pack_maps: the heads' length, the heads, 16-bit floats
 * @param {object[]} heads
 * @param {number[]} bits
 */
function packed(heads, bits) {
  let text = JSON.stringify(heads);
  text += " ".repeat(text.length % 2);
  const body = new Uint8Array(4 + text.length + 2 * bits.length);
  new DataView(body.buffer).setUint32(0, text.length, true);
  body.set(new TextEncoder().encode(text), 4);
  bits.forEach((one, at) => new DataView(body.buffer).setUint16(4 + text.length + 2 * at, one, true));
  return body.buffer;
}

test("half precision numbers are what they are, times the map's maximum", () => {
  const head = { number: 4, height: 2, width: 3, maximum: 2 };
  const bits = [0x3c00, 0x3800, 0x0000, 0x0001, 0x03ff, 0x3555]; // 1, 1/2, 0, two subnormals, ~1/3
  const [map] = unpack(packed([head], bits));
  const halves = [1, 0.5, 0, 2 ** -24, 1023 * 2 ** -24, 0.333251953125];
  assert.deepEqual(
    [...map.values],
    halves.map((half) => Math.fround(2 * half)),
  );
  assert.deepEqual([map.number, map.height, map.width], [4, 2, 3]);
});

test("maps of several sizes come one after the other", () => {
  const heads = [
    { number: 1, height: 1, width: 2, maximum: 1 },
    { number: 2, height: 1, width: 1, maximum: 4 },
  ];
  const maps = unpack(packed(heads, [0x3c00, 0x3800, 0xbc00]));
  assert.deepEqual(
    maps.map((map) => [...map.values]),
    [[1, 0.5], [-4]],
  );
});

test("shades go from 0 to the top, and no further", () => {
  assert.deepEqual(
    [0, 0.5, 1, 2, -1].map((value) => shade(value, 1, "linear")),
    [0, 0.5, 1, 1, 0],
  );
  assert.equal(shade(0.25, 0.5, "linear"), 0.5);
  assert.equal(shade(1, 0, "linear"), 0);
  assert.equal(shade(0, 0, "log"), 0);
});

test("the logarithmic scale has three decades", () => {
  const shades = [10, 1, 0.1, 0.01, 0.001, 0].map((value) => shade(value, 10, "log"));
  [1, 2 / 3, 1 / 3, 0, 0, 0].forEach((expected, at) => assert.ok(Math.abs(shades[at] - expected) < 1e-12));
});

test("a value has the shade that it is the value of", () => {
  for (const scale of /** @type {const} */ (["linear", "log"]))
    for (const share of [0.01, 0.25, 0.5, 1])
      assert.ok(Math.abs(shade(valueOf(share, 0.03, scale), 0.03, scale) - share) < 1e-12);
});

test("shares are told in percent with three digits", () => {
  const told = [1, 0.5, 0.12345, 0.012345, 0.00012345, 0.0000012345, 1.2e-9, 0, -0.0012345].map(percent);
  const expected = [
    "100 %",
    "50.0 %",
    "12.3 %",
    "1.23 %",
    "0.0123 %",
    "0.000123 %",
    "1.2e-7 %",
    "0 %",
    "-0.123 %",
  ];
  assert.deepEqual(told, expected);
});
