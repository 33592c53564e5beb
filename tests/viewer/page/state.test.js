// The store: a change is told at once, and written to the address bar a little later.

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { get, link, listen, open, set } from "attnscope/state";

mock.timers.enable({ apis: ["setTimeout"] });
/** @type {string[]} */
let written = [];
Object.assign(globalThis, {
  history: { replaceState: (/** @type {unknown[]} */ ...given) => written.push(String(given[2])) },
});

beforeEach(() => {
  mock.timers.tick(1000);
  written = [];
  open("", { words: [], step: null, pins: [] });
});

test("an address opens over what these traces open with", () => {
  open("#b=3", { words: [2], step: 7 });
  assert.deepEqual([get().block, get().words, get().step, get().cursor], [3, [2], 7, null]);
  assert.equal(link(), "b=3");
  set({ step: null, words: [] });
  assert.equal(link(), "b=3&s=all&w=");
});

test("what these traces open with stays for the next address", () => {
  open("", { words: [4] });
  open("#b=1");
  assert.deepEqual(get().words, [4]);
});

test("an address leaves nothing of the one before", () => {
  open("#b=3&m=words");
  set({ cursor: [0, 0], touched: 3 });
  open("#h=1");
  const { block, mode, head, cursor, touched } = get();
  assert.deepEqual([block, mode, head, cursor, touched], [null, "places", 1, null, undefined]);
});

test("a change may follow from the state", () => {
  set({ block: 4 });
  set((now) => ({ block: (now.block ?? 0) + 1 }));
  assert.equal(get().block, 5);
});

test("who listens is told of each change, until it leaves", () => {
  let told = 0;
  const leave = listen(() => told++);
  set({ block: 1 });
  set({ block: 2 });
  leave();
  set({ block: 3 });
  assert.equal(told, 2);
});

test("the state before a change is left as it was", () => {
  const before = get();
  set({ block: 9 });
  assert.notEqual(get(), before);
  assert.equal(before.block, null);
});

test("of many changes the address bar gets the last, without what is under the pointer", () => {
  for (let block = 0; block < 50; block++) {
    set({ block, cursor: [0.1, 0.2], touched: 1, hint: true });
    mock.timers.tick(100);
  }
  assert.deepEqual(written, []);
  mock.timers.tick(120);
  assert.deepEqual(written, ["#b=49"]);
});
