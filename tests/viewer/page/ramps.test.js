// Ramps of 256 colours.

import assert from "node:assert/strict";
import { test } from "node:test";
import { RAMP_NAMES, table } from "attnscope/ramps";

test("a ramp begins and ends with its first and last stop", () => {
  const ends = RAMP_NAMES.map((name) => [...table(name).subarray(0, 3), ...table(name).subarray(-3)]);
  assert.deepEqual(RAMP_NAMES, ["ember", "viridis", "magma", "cividis"]);
  assert.deepEqual(ends, [
    [0x0d, 0x08, 0x29, 0xfc, 0xfd, 0xbf],
    [0x44, 0x01, 0x54, 0xfd, 0xe7, 0x25],
    [0x00, 0x00, 0x04, 0xfc, 0xfd, 0xbf],
    [0x00, 0x22, 0x4e, 0xfe, 0xe8, 0x38],
  ]);
});

test("sixteen stops stand at every seventeenth colour", () => {
  assert.deepEqual([...table("viridis").subarray(3 * 17, 3 * 18)], [0x48, 0x1a, 0x6c]);
  assert.deepEqual([...table("viridis").subarray(3 * 238, 3 * 239)], [0xd2, 0xe2, 0x1b]);
});

test("between two stops colours are mixed", () => {
  const halfway = (0.5 / 15) * 255; // 8.5: colours 8 and 9 are 8/17 and 9/17 on the way
  assert.equal(halfway, 8.5);
  const mixed = [
    0x44 + (0x48 - 0x44) * (8 / 17),
    0x01 + (0x1a - 0x01) * (8 / 17),
    0x54 + (0x6c - 0x54) * (8 / 17),
  ];
  assert.deepEqual([...table("viridis").subarray(24, 27)], mixed.map(Math.round));
});

test("lightness grows along a ramp", () => {
  for (const name of RAMP_NAMES) {
    const rgb = table(name);
    const light = Array.from({ length: 256 }, (_, i) => 2 * rgb[3 * i] + 7 * rgb[3 * i + 1] + rgb[3 * i + 2]);
    for (let i = 16; i < 256; i++) assert.ok(light[i] > light[i - 16], `${name} at ${i}`);
  }
});

test("a ramp is made once", () => {
  assert.equal(table("magma"), table("magma"));
});
