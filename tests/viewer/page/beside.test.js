// The same question to a second trace.

import assert from "node:assert/strict";
import { test } from "node:test";
import { besideOf, commonTop, sameWord } from "attnscope/beside";
import { fittedState, madeImage, madeText, madeTrace } from "./made.js";

/** @import { State } from "attnscope/state" */
/** @import { Look } from "attnscope/types" */

const here = madeTrace({ images: [madeImage("a cat and a dog and a Cat")] });
const there = madeTrace({ number: 1, images: [madeImage("the CAT on a cat")], step: 2 });

/** @param {Partial<State>} state */
const beside = (state) => besideOf(here, there, fittedState(here, state));

test("a word's namesake is the one of the same order, else the first, else none", () => {
  const [from, to] = [here.images[0].texts.cond, there.images[0].texts.cond];
  assert.deepEqual(
    [1, 7, 4].map((word) => sameWord(from, to, word)),
    [1, 4, null],
  );
  assert.equal(sameWord(from, madeText("one cat"), 7), 1);
});

test("words, names and the word under the cursor are those of the same text", () => {
  const state = beside({ mode: "words", words: [7, "end", 4], names: [4, 1], touched: 7 });
  assert.deepEqual([state.words, state.names, state.touched], [[4, "end"], [1], 4]);
  assert.deepEqual([beside({}).names, beside({}).touched], [null, null]);
  assert.equal(beside({ touched: "start" }).touched, "start");
});

test("the second trace may have words and names of its own", () => {
  const own = beside({ mode: "words", words: [4], otherWords: [0, 9], names: [4], otherNames: [4] });
  assert.deepEqual([own.words, own.names, own.missing], [[0], [4], null]);
  assert.match(beside({ mode: "words", words: [4], otherWords: [0], touched: 4 }).missing ?? "", /“dog”/);
  assert.equal(beside({ mode: "words", words: [1], touchedOther: 2 }).touched, 2);
});

test("words that the other prompt does not hold are said where words are looked at", () => {
  const both = madeTrace({ images: [madeImage("a boat")] });
  const missing = (/** @type {Partial<State>} */ state) =>
    besideOf(here, both, fittedState(here, state)).missing;
  assert.equal(missing({ mode: "words", words: [1, 4, 0] }), "This prompt does not hold “cat”, “dog”.");
  assert.equal(missing({ mode: "words", words: [1], touched: 0 }), null);
  assert.equal(missing({ mode: "places", words: [1] }), null);
});

test("where no step is chosen the other trace shows its own first", () => {
  assert.equal(beside({}).step, 2);
  assert.equal(beside({ step: 0 }).step, 0);
});

test("what the other trace lacks is said", () => {
  const small = madeTrace({ steps: [{ index: 0, timestep: 1 }] });
  assert.match(besideOf(here, small, fittedState(here, { step: 1 })).lacks ?? "", /no step 1/);
});

test("two maps have one scale, up to the brighter one", () => {
  const look = (/** @type {number | null} */ maximum) =>
    /** @type {Look} */ (
      /** @type {unknown} */ ({ shown: { value: maximum === null ? null : { maximum } } })
    );
  assert.equal(commonTop(look(0.1), look(0.3)), 0.3);
  assert.equal(commonTop(look(0.1), look(null)), 0.1);
  assert.equal(commonTop(look(null), look(null)), null);
});
