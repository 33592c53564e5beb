// What keys change.

import assert from "node:assert/strict";
import { test } from "node:test";
import { keyChange, onKey, onKeyUp } from "attnscope/keys";
import { shownModes } from "attnscope/modes";
import { get } from "attnscope/state";
import { madeImage, madeState, madeTrace } from "./made.js";

/** @import { State } from "attnscope/state" */

const info = madeTrace();

/** @param {string} key @param {Partial<State>} state */
const change = (key, state = {}) => keyChange(key, info, madeState(state));

test("numbers choose what to look at", () => {
  const shown = shownModes(false).map(({ name }) => name);
  const modes = shown.map((_, at) => change(String(at + 1))?.mode);
  assert.deepEqual(modes, shown);
  assert.deepEqual(modes.slice(0, 4), ["places", "words", "segments", "cutout"]);
  assert.equal(change("1", { cursor: [0, 0] })?.cursor, null);
});

test("blocks go round, with all of them between the last and the first", () => {
  assert.deepEqual(
    [null, 1, 2].map((block) => change("]", { block })?.block),
    [1, 2, null],
  );
  assert.deepEqual(
    [null, 1, 2].map((block) => change("[", { block })?.block),
    [2, null, 1],
  );
});

test("steps and heads go round too; heads are those of the block", () => {
  assert.deepEqual(
    [null, 0, 2].map((step) => change(".", { step })?.step),
    [0, 1, null],
  );
  assert.deepEqual(
    [null, 0].map((step) => change(",", { step })?.step),
    [2, null],
  );
  assert.deepEqual(
    [null, 0, 1].map((head) => change("h", { head })?.head),
    [0, 1, null],
  );
  assert.deepEqual(
    [1, 3].map((head) => change("h", { head, block: 2 })?.head),
    [2, null],
  );
});

test("w goes from word to word of content, and first to the one that was chosen", () => {
  const next = (/** @type {Partial<State>} */ state = {}) => change("w", state)?.words;
  assert.deepEqual(next(), [1]);
  assert.deepEqual(next({ words: [2] }), [2]);
  assert.deepEqual(next({ mode: "words", words: [2] }), [5]);
  assert.deepEqual(next({ mode: "words", words: [5] }), [1]);
  assert.deepEqual(next({ mode: "words", image: 1, words: [1] }), [2]);
  assert.deepEqual(next({ mode: "words", image: 7 }), [1]);
  assert.deepEqual(change("w"), { mode: "words", words: [1], otherWords: null });
  const wordless = madeTrace({ images: [madeImage("in the")] });
  assert.deepEqual(keyChange("w", wordless, madeState()), {});
});

test("help opens and closes, Escape closes it and leaves the picture", () => {
  assert.deepEqual(change("?"), { hint: true });
  assert.deepEqual(change("?", { hint: true }), { hint: false });
  assert.deepEqual(change("Escape"), { hint: false, cursor: null });
});

test("other keys change nothing", () => {
  for (const key of ["x", "Tab", "9", "constructor", ""]) assert.equal(change(key), null);
});

test("as long as p is held the picture is shown alone, but not while somebody writes", () => {
  class Element {
    tagName = "INPUT";
  }
  Object.assign(globalThis, { Element, history: { replaceState() {} } });
  const key = (/** @type {string} */ name, target = {}) =>
    /** @type {KeyboardEvent} */ ({ key: name, target });
  onKey(key("p"), [info]);
  assert.equal(get().bare, true);
  onKeyUp(key("p"));
  assert.equal(get().bare, false);
  onKey(key("p", new Element()), [info]);
  assert.equal(get().bare, false);
});
