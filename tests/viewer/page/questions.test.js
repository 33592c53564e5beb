// Which questions follow from the state, and where they are asked.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { questionsOf } from "attnscope/questions";
import { fittedState, madeLayer, madeTrace } from "./made.js";

/** @import { Questions } from "attnscope/questions" */
/** @import { State } from "attnscope/state" */
/** @import { TraceInfo } from "attnscope/types" */

/** @type {string[]} */
let fetched = [];
Object.assign(globalThis, {
  fetch: async (/** @type {string} */ path) => {
    fetched.push(path);
    throw new TypeError("no server here");
  },
});
afterEach(() => {
  fetched = [];
});

const PLACE = { pins: /** @type {[number, number][]} */ ([[0.25, 0.5]]) };

/** @param {Partial<State>} state @param {TraceInfo} info */
const questions = (state, info = madeTrace()) => questionsOf(info, fittedState(info, state));

/** @param {Questions} asked @param {keyof Questions} name */
async function address(asked, name) {
  await asked[name]?.ask(new AbortController().signal, () => {}).catch(() => {});
  return fetched.at(-1)?.replace("api/traces/0/", "");
}

test("of a place its map, the words it reads and all blocks are asked", async () => {
  const asked = questions(PLACE);
  assert.deepEqual(Object.keys(asked).sort(), ["self", "shares", "shown"]);
  assert.equal(await address(asked, "shown"), "place?branch=cond&image=0&top=0.25&left=0.5");
  assert.equal(await address(asked, "shares"), "shares?branch=cond&image=0&top=0.25&left=0.5");
  assert.equal(await address(asked, "self"), "blocks?branch=cond&image=0&top=0.25&left=0.5");
});

test("a mask is asked of where the points are, once there is one on the thing", async () => {
  /** @type {State["points"]} */
  const points = [
    { sign: "minus", at: [0.1, 0.2] },
    { sign: "plus", at: [0.25, 0.5] },
  ];
  const asked = questions({ ...PLACE, mode: "cutout", points, step: 1, block: 2, cutBlock: 2 });
  assert.deepEqual(Object.keys(asked), ["cut"]);
  assert.equal(await address(asked, "cut"), "clicks?step=1&branch=cond&image=0&block=2");
  const [first, again] = [points, [...points].reverse()].map(
    (some) => questions({ mode: "cutout", points: some }).cut,
  );
  assert.equal(first?.key, again?.key);
  assert.equal(questions({ mode: "cutout", points: points.slice(0, 1) }).cut, undefined);
  assert.equal(questions({ mode: "cutout" }).cut, undefined);
  const other = questions({ mode: "cutout", points, image: 1 }).cut;
  assert.notEqual(first?.group, other?.group);
  const cross = madeTrace({ layers: [madeLayer(1, "cross")] });
  assert.deepEqual(questions({ mode: "cutout", points }, cross), {});
});

test("heads are asked in a chosen block, and all blocks without the block", async () => {
  const asked = questions({ ...PLACE, block: 2, head: 1, step: 0 });
  assert.equal(await address(asked, "heads"), "heads?block=2&step=0&branch=cond&image=0&top=0.25&left=0.5");
  assert.equal(await address(asked, "self"), "blocks?head=1&step=0&branch=cond&image=0&top=0.25&left=0.5");
  assert.equal(
    await address(asked, "shown"),
    "place?block=2&head=1&step=0&branch=cond&image=0&top=0.25&left=0.5",
  );
});

test("of words the map and all blocks are asked; of places too, where one is pinned", async () => {
  const asked = questions({ ...PLACE, mode: "words", words: [2, 1], block: 1 });
  const tops = ["blockTops", "headTops", "top"];
  assert.deepEqual(Object.keys(asked).sort(), ["cross", "heads", "self", "shown", ...tops].sort());
  assert.equal(await address(asked, "top"), "tops?block=1&branch=cond&image=0&each=view");
  assert.equal(await address(asked, "blockTops"), "tops?branch=cond&image=0&each=block");
  const mean = questions({ mode: "words", words: [2] });
  assert.equal(mean.top?.key, mean.blockTops?.key);
  assert.equal(await address(asked, "headTops"), "tops?block=1&branch=cond&image=0&each=head");
  assert.equal(await address(asked, "shown"), "words?block=1&branch=cond&image=0&token=2&token=3&token=4");
  assert.equal(await address(asked, "cross"), "blocks?branch=cond&image=0&token=2&token=3&token=4");
  assert.equal(await address(asked, "heads"), "heads?block=1&branch=cond&image=0&token=2&token=3&token=4");
});

test("the scale of all words is asked for words of the text alone, once for all of them", () => {
  const one = questions({ mode: "words", words: [2] });
  assert.equal(one.top?.key, questions({ mode: "words", words: [1, 2] }).top?.key);
  /** @type {Partial<State>[]} */
  const others = [
    { words: ["padding"] },
    { words: [2, "start"] },
    { range: "each" },
    { top: 0.1 },
    { words: [] },
  ];
  for (const other of others) {
    const asked = questions({ mode: "words", words: [2], ...other });
    assert.deepEqual([asked.top, asked.blockTops, asked.headTops], [undefined, undefined, undefined]);
  }
});

test("words are read in the chosen block only where it has cross-attention", async () => {
  const info = madeTrace({ layers: [madeLayer(1, "self"), madeLayer(2, "cross")] });
  const asked = questions({ ...PLACE, block: 1 }, info);
  assert.equal(await address(asked, "shares"), "shares?branch=cond&image=0&top=0.25&left=0.5");
});

test("nothing is asked that a trace can't answer, or that nobody looks at", () => {
  const self = madeTrace({ layers: [madeLayer(1, "self")] });
  const cross = madeTrace({ layers: [madeLayer(1, "cross")] });
  assert.deepEqual(Object.keys(questions({ ...PLACE, words: [2] }, self)).sort(), ["self", "shown"]);
  assert.deepEqual(Object.keys(questions({ ...PLACE, words: [2], range: "each" }, cross)).sort(), [
    "cross",
    "shares",
  ]);
  assert.deepEqual(questions({ mode: "segments" }, cross), {});
  assert.deepEqual(questions({}), {});
  assert.deepEqual(questions({ mode: "words", branch: "uncond", words: [2] }), {});
});

test("of segments nothing else is asked, and another recipe does not stop the aggregate", async () => {
  const [one, two] = [0.5, 0.6].map((tau) => questions({ ...PLACE, mode: "segments", tau }));
  assert.deepEqual(Object.keys(one), ["found"]);
  assert.equal(await address(one, "found"), "aggregate?branch=cond&image=0");
  assert.notEqual(one.found?.key, two.found?.key);
  assert.equal(one.found?.group, two.found?.group);
  assert.notEqual(one.found?.group, questions({ ...PLACE, mode: "segments", step: 1 }).found?.group);
});

test("another view or another trace is another question", () => {
  const views = [
    {},
    { block: 1 },
    { head: 1 },
    { step: 1 },
    { branch: "uncond" },
    { image: 1 },
    { cursor: [0, 0] },
  ];
  const keys = views.map(
    (view) => questions({ ...PLACE, .../** @type {Partial<State>} */ (view) }).shown?.key,
  );
  keys.push(questions(PLACE, madeTrace({ number: 1 })).shown?.key);
  assert.equal(new Set(keys).size, keys.length);
});
