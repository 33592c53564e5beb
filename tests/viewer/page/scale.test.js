// Which value has the brightest colour.

import assert from "node:assert/strict";
import { test } from "node:test";
import { rangeText, scaleOf, smallTop, waiting } from "attnscope/scale";
import { fittedState, madeTrace } from "./made.js";

/** @import { State } from "attnscope/state" */
/** @import { FieldMap, Look, Tops } from "attnscope/types" */

const info = madeTrace();
const NONE = { value: null, error: null, busy: false, progress: null, stop() {}, again() {} };

/**
 * @param {number | null} maximum of the map
 * @param {Partial<Record<"view" | "block" | "head", Tops>>} tops
 * @returns {Look}
 */
function madeLook(maximum, tops = {}) {
  const map = /** @type {FieldMap} */ ({ number: null, maximum });
  const top = (/** @type {Tops | undefined} */ value) => ({ ...NONE, value: value ?? null, busy: !value });
  return {
    shown: { ...NONE, value: maximum === null ? null : map },
    blocks: { self: NONE, cross: NONE },
    heads: NONE,
    shares: NONE,
    found: NONE,
    cut: NONE,
    tops: { view: top(tops.view), block: top(tops.block), head: top(tops.head) },
  };
}

/** @param {number} maximum @returns {Tops} */
const view = (maximum) => ({ numbers: [null], maxima: [maximum] });

/** @param {Partial<State>} state @param {Look} look */
const shown = (state, look) => ({ info, state: fittedState(info, state), look });

const WORD = /** @type {Partial<State>} */ ({ mode: "words", words: [2] });

test("a word has the scale of all words, so that an ignored one looks ignored", () => {
  const scale = scaleOf([shown(WORD, madeLook(0.1, { view: view(0.4) }))]);
  assert.deepEqual([scale.top, rangeText(scale)], [0.4, "one range for all words"]);
});

test("until that is known no map is drawn", () => {
  const look = madeLook(0.1);
  const scale = scaleOf([shown(WORD, look)]);
  assert.equal(scale.top, undefined);
  const waits = waiting(look, scale);
  assert.deepEqual([waits.shown.value, waits.shown.busy], [null, true]);
  const known = { top: 0.4, said: "" };
  assert.deepEqual(waiting(look, known).shown.value, look.shown.value);
});

test("what can't be known is not waited for", () => {
  const look = madeLook(0.1);
  look.tops.view = { ...NONE, error: new Error("no words") };
  assert.equal(waiting(look, { top: undefined, said: "" }).shown.busy, false);
});

test("each map has its own where that is wanted, for places, and for padding", () => {
  const look = madeLook(0.1, { view: view(0.4) });
  /** @type {Partial<State>[]} */
  const states = [
    { ...WORD, range: "each" },
    { mode: "places", pins: [[0, 0]] },
    { mode: "words", words: ["padding"] },
  ];
  for (const state of states) assert.equal(scaleOf([shown(state, look)]).top, null);
  assert.equal(scaleOf([shown({ ...WORD, top: 0.25 }, look)]).top, 0.25);
});

test("two traces have one scale, up to the brighter one", () => {
  const looks = [madeLook(0.1, { view: view(0.4) }), madeLook(0.2, { view: view(0.3) })];
  /** @param {Partial<State>} state */
  const both = (state) => scaleOf(looks.map((look) => shown(state, look)));
  assert.deepEqual(both(WORD), { top: 0.4, said: "one range for all words" });
  assert.deepEqual(both({ ...WORD, range: "each" }), { top: 0.2, said: "one range for both" });
  looks[1] = madeLook(0.2);
  assert.equal(both(WORD).top, undefined);
});

test("small maps of words have the scale of all words in their block or head, of places their own", () => {
  const tops = {
    block: { numbers: [1, 2], maxima: [0.4, 0.6] },
    head: { numbers: [0, 1], maxima: [0.7, 0.8] },
  };
  const look = madeLook(0.1, tops);
  const second = /** @type {FieldMap} */ ({ number: 2 });
  const first = /** @type {FieldMap} */ ({ number: 1 });
  assert.equal(smallTop(shown(WORD, look), "cross", "block", second), 0.6);
  assert.equal(smallTop(shown(WORD, look), "cross", "head", first), 0.8);
  assert.equal(smallTop(shown(WORD, look), "self", "block", second), null);
  assert.equal(smallTop(shown(WORD, madeLook(0.1)), "cross", "block", second), undefined);
  assert.equal(smallTop(shown({ ...WORD, range: "each" }, look), "cross", "block", second), null);
});

test("a fixed brightest value is that of every map of the kind that is looked at", () => {
  const state = shown({ ...WORD, top: 0.25 }, madeLook(0.1));
  const map = /** @type {FieldMap} */ ({ number: 1 });
  assert.deepEqual(
    [smallTop(state, "cross", "block", map), smallTop(state, "self", "block", map)],
    [0.25, null],
  );
});
