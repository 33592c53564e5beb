// Pins, and the region that a drag makes.

import assert from "node:assert/strict";
import { test } from "node:test";
import { PIN_COLOURS, pinColour } from "attnscope/marks";
import { boxBetween, withoutPin, withPin } from "attnscope/pins";
import { madeState } from "./made.js";

/** @type {[number, number][]} */
const TWO = [
  [0.1, 0.1],
  [0.2, 0.2],
];

test("a drag is a region whichever way it goes, and a small one is a click", () => {
  assert.deepEqual(boxBetween([0.6, 0.2], [0.3, 0.7]), [0.3, 0.2, 0.6, 0.7]);
  assert.deepEqual(boxBetween([0.5, 0.5], [0.5, 0.53]), [0.5, 0.5, 0.5, 0.53]);
  assert.equal(boxBetween([0.5, 0.5], [0.51, 0.49]), null);
});

test("a new pin is looked at", () => {
  assert.deepEqual(withPin(madeState({ pins: TWO, pin: 0 }), [0.3, 0.3]), {
    pins: [...TWO, [0.3, 0.3]],
    pin: 2,
  });
});

test("a place is pinned once", () => {
  assert.deepEqual(withPin(madeState({ pins: TWO }), [0.1, 0.1]), {
    pins: [
      [0.2, 0.2],
      [0.1, 0.1],
    ],
    pin: 1,
  });
});

test("of more pins than colours the oldest goes", () => {
  const pins = PIN_COLOURS.map((_, at) => /** @type {[number, number]} */ ([at / 10, 0]));
  const { pins: after, pin } = withPin(madeState({ pins }), [1, 1]);
  assert.deepEqual([after?.length, after?.[0], after?.at(-1), pin], [8, [0.1, 0], [1, 1], 7]);
  assert.equal(pinColour(9), PIN_COLOURS[1]);
});

test("words and segments have no pins", () => {
  assert.deepEqual(withPin(madeState({ mode: "words" }), [0.3, 0.3]), {});
});

test("after a pin is removed another is looked at, if there is one", () => {
  assert.deepEqual(withoutPin(madeState({ pins: TWO, pin: 1 }), 0), { pins: [[0.2, 0.2]], pin: 0 });
  assert.deepEqual(withoutPin(madeState({ pins: [[0.1, 0.1]] }), 0), { pins: [], pin: null });
  assert.deepEqual(withoutPin(madeState({ pins: TWO, pin: null }), 1), { pins: [[0.1, 0.1]], pin: 0 });
  const three = madeState({ pins: [...TWO, [0.3, 0.3]], pin: 2 });
  assert.equal(withoutPin(three, 0).pin, 1);
  assert.deepEqual(withoutPin(madeState({ pins: TWO }), 5), { pins: TWO, pin: 0 });
});
