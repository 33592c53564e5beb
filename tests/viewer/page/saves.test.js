// What can be saved: where each file is, and why it can't be had; keys in the menu.

import assert from "node:assert/strict";
import { test } from "node:test";
import { itemOf } from "attnscope/tools/savemenu";
import { SAVES } from "attnscope/tools/saves";
import { fittedState, madeTrace } from "./made.js";

/** @import { State } from "attnscope/state" */
/** @import { Shown } from "attnscope/scale" */
/** @import { TraceInfo } from "attnscope/types" */

/**
 * @param {Partial<State>} state
 * @param {Partial<TraceInfo>} changes
 * @param {object | null} map
 */
function shown(state, changes = {}, map = { maximum: 1 }) {
  const info = madeTrace(changes);
  return /** @type {Shown} */ ({ info, state: fittedState(info, state), look: { shown: { value: map } } });
}

/** @param {string} id */
function save(id) {
  const found = SAVES.find((one) => one.id === id);
  assert.ok(found);
  return found;
}

test("every entry has a name of its own, and something that makes it", () => {
  assert.equal(new Set(SAVES.map(({ id }) => id)).size, SAVES.length);
  for (const { href, run, label, about } of SAVES) assert.ok((href ?? run) && label && about);
});

test("the heat map is of the chosen words and the view", () => {
  const one = shown({ mode: "words", words: [2, 1], block: 2, head: 1, step: 0 });
  assert.equal(
    save("save-heatmap").href?.(one),
    "api/traces/0/heatmap?block=2&head=1&step=0&branch=cond&image=0&token=2&token=3&token=4",
  );
});

test("without a word there is nothing of words, and without steps nothing moves", () => {
  for (const id of ["save-heatmap", "save-gif", "save-mp4"]) {
    assert.equal(save(id).lacks?.(shown({ words: [] })), "Choose a word first.");
    assert.equal(save(id).lacks?.(shown({ words: [2] })), null);
  }
  const steps = [{ index: 3, timestep: 1 }];
  assert.equal(save("save-gif").lacks?.(shown({ words: [2] }, { steps })), "This trace has one step only.");
});

test("a map's numbers are of what is shown", () => {
  const npz = save("save-npz");
  assert.match(npz.href?.(shown({ pins: [[0.1, 0.2]] })) ?? "", /place\?.*top=0.1&left=0.2&format=npz$/);
  assert.match(npz.href?.(shown({ mode: "words", words: [1] })) ?? "", /words\?.*token=2&format=npz$/);
  assert.equal(npz.lacks?.(shown({}, {}, null)), "No map is shown.");
  assert.equal(npz.href?.(shown({ mode: "segments" })), null);
});

test("a trace in a folder is sent at once, one in memory is saved first", () => {
  assert.equal(save("save-trace").href?.(shown({})), "api/traces/0/zip?");
  assert.equal(save("save-trace").href?.(shown({}, { folder: null })), null);
  assert.ok(save("save-trace").run);
});

test("arrows go round the menu, Home and End to its ends", () => {
  assert.deepEqual([0, 1, 2].map((at) => itemOf("ArrowDown", at, 3)), [1, 2, 0]);
  assert.deepEqual([2, 0, -1].map((at) => itemOf("ArrowUp", at, 3)), [1, 2, 2]);
  assert.equal(itemOf("ArrowDown", -1, 3), 0);
  assert.deepEqual([itemOf("Home", 2, 3), itemOf("End", 0, 3), itemOf("x", 1, 3)], [0, 2, -1]);
});
