// What choosing a word does.

import assert from "node:assert/strict";
import { test } from "node:test";
import { besideOf } from "attnscope/beside";
import { named, picked, pickedBeside } from "attnscope/picking";
import { fittedState, madeImage, madeState, madeTrace } from "./made.js";

/** @import { State } from "attnscope/state" */

const here = madeTrace({ images: [madeImage("a red cat and a dog")] });
const there = madeTrace({ number: 1, images: [madeImage("the dog on a boat")] });

/** @param {Partial<State>} state */
const words = (state) => madeState({ mode: "words", ...state });

/** @param {Partial<State>} state */
function sides(state) {
  const own = fittedState(here, state);
  return /** @type {const} */ ([
    { info: here, state: own },
    { info: there, state: besideOf(here, there, own) },
  ]);
}

/** @param {Partial<State>} state @param {number | string} id @param {boolean} add */
const beside = (state, id, add) => pickedBeside(words(state), id, add, ...sides({ mode: "words", ...state }));

test("a click replaces the choice, with Shift it adds or takes away", () => {
  assert.deepEqual(picked(words({ words: [1, 2] }), 5, false).words, [5]);
  assert.deepEqual(picked(words({ words: [5] }), 5, false).words, [5]);
  assert.deepEqual(picked(words({ words: [1] }), 5, true).words, [1, 5]);
  assert.deepEqual(picked(words({ words: [1, 5] }), 1, true).words, [5]);
});

test("from places words are looked at, those chosen before are left", () => {
  const next = picked(madeState({ mode: "places", words: [1] }), 2, true);
  assert.deepEqual([next.mode, next.words], ["words", [2]]);
});

test("a word of the second trace is chosen in both, where the first has it", () => {
  const dog = beside({ words: [2], otherWords: [4] }, 1, false);
  assert.deepEqual([dog.words, dog.otherWords], [[5], null]);
  assert.deepEqual(beside({ words: [2] }, 1, true).words, [2, 5]);
});

test("a word that only the second has is its own choice, and the first keeps its words", () => {
  const boat = beside({ words: [2] }, 4, false);
  assert.deepEqual([boat.otherWords, "words" in boat], [[4], false]);
  assert.deepEqual(beside({ words: [5] }, 4, true).otherWords, [1, 4]);
  assert.deepEqual(beside({ words: [5], otherWords: [1, 4] }, 1, true).otherWords, [4]);
});

test("a word of the first is looked at in both again", () => {
  assert.equal(picked(words({ otherWords: [4] }), 2, false).otherWords, null);
});

test("a word names segments in both traces or in neither; words of one alone stay as they were", () => {
  const [first, second] = sides({ mode: "segments" });
  assert.deepEqual(named(5, first, second), { own: [2], other: [4] });
  assert.deepEqual(named(4, second, first), { own: [1], other: [2, 5] });
  assert.deepEqual(named(2, first, second), { own: [5], other: [1, 4] });
  assert.deepEqual(named(1, first, null), { own: [2, 5, 1], other: null });
});
