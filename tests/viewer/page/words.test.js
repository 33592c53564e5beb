// A prompt's words: which can be chosen, which stand for a thing.

import assert from "node:assert/strict";
import { test } from "node:test";
import { turned } from "attnscope/picking";
import {
  choosable, contentWords, firstWords, namesOf, roleTokens, textOf, tokensOf, wordsOf,
} from "attnscope/words";
import { madeImage, madeState, madeText, madeTrace } from "./made.js";

const image = madeText("A red house under the sky");

test("words are chosen by number, then start, end and padding", () => {
  const words = choosable(image);
  assert.deepEqual(
    words.map((word) => word.id),
    [0, 1, 2, 3, 4, 5, "start", "end", "padding"],
  );
  assert.deepEqual(words[2], { id: 2, text: "house", tokens: [3, 4], role: "text" });
  assert.deepEqual(words.at(-1), { id: "padding", text: "padding", tokens: [10, 11], role: "padding" });
});

test("each branch has the words of its own text", () => {
  const info = madeTrace({ images: [madeImage("a cat", "blurry cat"), madeImage("a dog")] });
  const read = (/** @type {string} */ branch, at = 0) => textOf(info, { branch, image: at });
  assert.deepEqual([read("cond").text, read("uncond").text], ["a cat", "blurry cat"]);
  assert.deepEqual(tokensOf(read("cond"), [1]), [2]);
  assert.deepEqual(tokensOf(read("uncond"), [1]), [3]);
  assert.equal(read("cond", 1).text, "a dog");
  assert.equal(read("none").text, "a cat");
  assert.deepEqual(read("uncond", 1).words, []);
  assert.deepEqual(textOf(madeTrace({ images: [] }), { branch: "cond", image: 0 }).words, []);
});

test("a role that no token has is left out", () => {
  const short = { ...image, tokens: image.tokens.filter((token) => token.role !== "padding") };
  assert.deepEqual(roleTokens(short), [
    ["start", [0]],
    ["end", [9]],
  ]);
});

test("tokens of words come in the prompt's order, and none for a word that is not there", () => {
  assert.deepEqual(tokensOf(image, ["end", 2, 0, 77, "foo"]), [1, 3, 4, 9]);
});

test("articles and prepositions are no content, in capitals neither", () => {
  assert.deepEqual(contentWords(image), [1, 2, 5]);
});

test("the first word is more than a colour, where there is one", () => {
  assert.deepEqual(firstWords(image), [2]);
  assert.deepEqual(firstWords(madeText("a Red and a blue")), [1]);
  assert.deepEqual(firstWords(madeText("in the")), []);
});

test("the word under the cursor is looked at, else those chosen", () => {
  assert.deepEqual(wordsOf(madeState({ words: [1, 2] })), [1, 2]);
  assert.deepEqual(wordsOf(madeState({ words: [1, 2], touched: null })), [1, 2]);
  assert.deepEqual(wordsOf(madeState({ words: [1, 2], touched: 0 })), [0]);
});

test("things name segments unless others are chosen, and those of the negative prompt in its branch", () => {
  const info = madeTrace();
  assert.deepEqual(namesOf(info, madeState()), [2, 5]);
  assert.deepEqual(namesOf(info, madeState({ names: [1] })), [1]);
  assert.deepEqual(namesOf(info, madeState({ names: [] })), []);
  assert.deepEqual(namesOf(info, madeState({ branch: "uncond" })), []);
  assert.deepEqual(namesOf(info, madeState({ image: 1 })), [2]);
});

test("a second click takes a word back", () => {
  assert.deepEqual(turned([1, 2], 3), [1, 2, 3]);
  assert.deepEqual(turned([1, 2, 3], 2), [1, 3]);
});
