// What is asked of the words that may have been ignored, and what is known of them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { speak } from "attnscope/lang";
import { explainQuestion, remember, saysOf } from "attnscope/tools/explained";
import { fittedState, madeTrace } from "./made.js";

/** @import { State } from "attnscope/state" */
/** @import { WordVerdict } from "attnscope/types" */

const info = madeTrace();

/** @type {string[]} */
const fetched = [];
Object.assign(globalThis, {
  fetch: async (/** @type {string} */ path) => {
    fetched.push(path);
    return Response.json({ state: "ready", done: 1, total: 1, error: "" });
  },
});

/** @param {Partial<State>} state */
const question = (state) => explainQuestion(info, fittedState(info, { mode: "words", ...state }));

test("nothing is asked before somebody wants to know, nor of what is no word", () => {
  assert.equal(question({ words: [2] }), undefined);
  assert.equal(question({ words: ["start", "padding"], why: true }), undefined);
  assert.equal(question({ words: [], why: true }), undefined);
});

test("the chosen words are asked in their order and language, the work once for all", async () => {
  const asked = question({ words: [5, "start", 2], why: true });
  await asked?.ask(new AbortController().signal, () => {});
  assert.deepEqual(fetched, [
    "api/traces/0/explanation?branch=cond&image=0",
    "api/traces/0/explained?branch=cond&image=0&word=2&word=5&lang=en",
  ]);
  const other = question({ words: [1], why: true });
  assert.equal(asked?.group, other?.group);
  assert.notEqual(asked?.key, other?.key);
  assert.notEqual(asked?.group, question({ words: [1], why: true, branch: "uncond" })?.group ?? "none");
  speak("ja");
  assert.notEqual(asked?.key, question({ words: [5, 2], why: true })?.key);
  speak("en");
});

test("a verdict is known of the text that was asked about", () => {
  const cond = { branch: "cond", image: 0 };
  /** @type {WordVerdict} */
  const verdict = {
    word: 2, text: "house", says: "not drawn", verdict: "", share: 0.1, peak: 0.1, leads: 0, where: "top",
  };
  assert.equal(saysOf(info, cond, 2), null);
  remember(info, cond, [verdict, { ...verdict, word: null, says: "not read" }]);
  assert.equal(saysOf(info, cond, 2), "not drawn");
  assert.equal(saysOf(info, cond, 1), null);
  assert.equal(saysOf(info, cond, "start"), null);
  assert.equal(saysOf(info, { branch: "uncond", image: 0 }, 2), null);
  assert.equal(saysOf(info, { branch: "cond", image: 1 }, 2), null);
});
