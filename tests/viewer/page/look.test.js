// What the state asks for of a trace, and what a trace can answer.

import assert from "node:assert/strict";
import { test } from "node:test";
import { branchTurn, imageTurn } from "attnscope/choices";
import { fitted } from "attnscope/fitted";
import { turnTo } from "attnscope/header";
import { boxOf, everywhere, gridOf, headsOf, isPart, recipeOf, weightsOf } from "attnscope/look";
import { fromSlider, toSlider } from "attnscope/recipe";
import { madeImage, madeLayer, madeState, madeTrace } from "./made.js";

test("the place under the cursor is looked at, else the chosen pin, else the last", () => {
  /** @type {[number, number][]} */
  const pins = [
    [0.1, 0.1],
    [0.2, 0.2],
  ];
  assert.deepEqual(boxOf(madeState({ pins, cursor: [0.5, 0.5], pin: 1 })), [0.5, 0.5]);
  assert.deepEqual(boxOf(madeState({ pins, pin: 1 })), [0.2, 0.2]);
  assert.deepEqual(boxOf(madeState({ pins })), [0.1, 0.1]);
  assert.deepEqual(boxOf(madeState({ pins, pin: 7 })), [0.2, 0.2]);
  assert.equal(boxOf(madeState()), null);
});

test("places are on the chosen block's grid, else on the finest", () => {
  const info = madeTrace();
  assert.deepEqual(gridOf(info, madeState()), [8, 12]);
  assert.deepEqual(gridOf(info, madeState({ block: 2 })), [4, 6]);
  const finestLast = madeTrace({ layers: [madeLayer(1, "self", { grid: [2, 3] }), madeLayer(2, "self")] });
  assert.deepEqual(gridOf(finestLast, madeState()), [8, 12]);
  const wide = madeTrace({ layers: [madeLayer(1, "self"), madeLayer(2, "self", { grid: [4, 20] })] });
  assert.deepEqual(gridOf(wide, madeState()), [8, 12]);
  assert.deepEqual(gridOf(madeTrace({ layers: [] }), madeState()), [1, 1]);
});

test("heads are those of the chosen block, else those that every block has", () => {
  const info = madeTrace();
  assert.equal(headsOf(info, madeState({ block: 2 })), 4);
  assert.equal(headsOf(info, madeState()), 2);
  assert.equal(headsOf(madeTrace({ layers: [] }), madeState()), 0);
});

test("a head that some block lacks is not asked for in all of them", () => {
  const info = madeTrace();
  assert.deepEqual(everywhere(info, madeState({ block: 2, head: 1 })), {
    block: null,
    head: 1,
    step: null,
    branch: "cond",
    image: 0,
  });
  assert.equal(everywhere(info, madeState({ block: 2, head: 2 })).head, null);
});

test("a recipe has the model's threshold unless another is set, and its words in order", () => {
  const info = madeTrace();
  assert.deepEqual(recipeOf(info, madeState()), {
    threshold: 1.1,
    passes: 3,
    anchors: 16,
    unite: false,
    word: [2, 5],
  });
  const names = [12, 5, 1];
  assert.deepEqual(recipeOf(info, madeState({ tau: 0.2, names })).word, [1, 5, 12]);
  assert.equal(recipeOf(info, madeState({ tau: 0.2 })).threshold, 0.2);
  assert.deepEqual(names, [12, 5, 1]);
});

test("weights are pairs of height and weight", () => {
  assert.deepEqual(weightsOf(madeState({ weights: "8:1,4:0.5" })), [
    ["8", "1"],
    ["4", "0.5"],
  ]);
  assert.deepEqual(weightsOf(madeState()), []);
});

test("what a trace has stays as it is", () => {
  const state = madeState({
    block: 2,
    head: 3,
    step: 1,
    image: 1,
    words: [2, "end"],
    names: [1],
    weights: "8:1,4:2",
  });
  assert.deepEqual(fitted(madeTrace(), state), { ...state, lacks: null });
});

test("without chosen names there are none after fitting either", () => {
  assert.equal(fitted(madeTrace(), madeState()).names, null);
});

test("what a trace lacks falls back, and it is said", () => {
  const state = madeState({
    block: 9,
    step: 7,
    head: 5,
    branch: "left",
    image: 4,
    words: [1, 77, "end"],
    names: [77, 2],
  });
  const own = fitted(madeTrace(), state);
  const { block, step, head, branch, image, words, names } = own;
  assert.deepEqual([block, step, head, branch, image], [null, null, null, "cond", 0]);
  assert.deepEqual([words, names], [[1, "end"], [2]]);
  assert.equal(
    own.lacks,
    "This trace has no block 9, no step 7, no head 5, no branch left: shown is the mean over all blocks, " +
      "the mean over all steps, the mean over all heads, branch cond.",
  );
});

test("a head is one of the chosen block", () => {
  assert.equal(fitted(madeTrace(), madeState({ block: 2, head: 3 })).head, 3);
  assert.equal(fitted(madeTrace(), madeState({ block: 1, head: 2 })).head, null);
  assert.equal(fitted(madeTrace(), madeState({ block: 1, head: 1 })).head, 1);
});

test("a block has to have the kind that is looked at", () => {
  const info = madeTrace({ layers: [madeLayer(1, "self"), madeLayer(2, "cross")] });
  assert.equal(fitted(info, madeState({ mode: "words", block: 2 })).block, 2);
  assert.equal(fitted(info, madeState({ mode: "words", block: 1 })).block, null);
});

test("weights are for just the heights that the trace has", () => {
  const weights = (/** @type {string} */ given) => fitted(madeTrace(), madeState({ weights: given })).weights;
  assert.equal(weights("8:1,4:2"), "8:1,4:2");
  for (const other of ["8:1", "8:1,4:2,2:1", "8:1,5:2", "x"]) assert.equal(weights(other), "", other);
});

const OTHERS = { otherWords: null, otherNames: null }; // of the second trace: the same

test("words stay where two images have one prompt", () => {
  const info = madeTrace({ images: [madeImage("a red cat"), madeImage("a red cat"), madeImage("the boat")] });
  const state = madeState({ words: [1], names: [1], cursor: [0, 0] });
  assert.deepEqual(imageTurn(info, state, 1), { image: 1, cursor: null });
  assert.deepEqual(imageTurn(info, state, 2), { image: 2, cursor: null, words: [1], names: null, ...OTHERS });
});

test("words stay where two branches read one text", () => {
  const info = madeTrace({ images: [madeImage("a red cat", "a red cat"), madeImage("a cat", "the boat")] });
  const state = madeState({ words: [2], names: [1] });
  assert.deepEqual(branchTurn(info, state, "uncond"), { branch: "uncond" });
  const other = { branch: "uncond", words: [1], names: null, ...OTHERS };
  assert.deepEqual(branchTurn(info, { ...state, image: 1 }, "uncond"), other);
});

test("another trace leaves behind what belongs to the one before, and is not compared with itself", () => {
  const traces = [madeTrace(), madeTrace({ number: 1, step: 2, images: [madeImage("a boat")] })];
  const state = madeState({ words: [5], names: [1], image: 1, weights: "8:1", cursor: [0, 0], other: 1 });
  assert.deepEqual(turnTo(traces, state, 1), {
    trace: 1,
    words: [1],
    names: null,
    image: 0,
    weights: "",
    step: 2,
    cursor: null,
    other: 0,
    ...OTHERS,
  });
  assert.equal(turnTo(traces, madeState({ other: null }), 1).other, null);
});

test("the threshold's slider goes there and back, evenly in its logarithm", () => {
  assert.deepEqual([0, 200, 400].map(fromSlider), [0.02, 0.2, 2]);
  for (let stop = 0; stop <= 400; stop += 8) assert.equal(toSlider(fromSlider(stop)), stop);
});

test("a layer is a part where its softmax is over more keys than its places or tokens", () => {
  assert.equal(isPart(madeLayer(1, "self")), false);
  assert.equal(isPart(madeLayer(1, "cross")), false);
  assert.equal(isPart(madeLayer(1, "self", { softmax: 173 })), true);
  assert.equal(isPart(madeLayer(1, "cross", { softmax: 173 })), true);
});
