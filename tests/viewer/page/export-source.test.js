// The answers of an exported page, from data packed as export.py packs it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { deflateSync } from "node:zlib";
import * as live from "attnscope/source";
import { madeImage, madeTrace } from "./made.js";

/** @import { View } from "attnscope/types" */

/** @param {Uint8Array | Uint16Array | Float32Array} numbers */
const deflated = (numbers) => deflateSync(numbers).toString("base64");

/**
 * Maps of 8 bits, each with its own maximum
 * @param {[number, number]} grid
 * @param {number} height
 * @param {number} width
 * @param {number[][]} levels
 * @param {number[]} maxima
 * @param {number} [top]
 */
const packed = (grid, height, width, levels, maxima, top = 255) => ({
  grid,
  height,
  width,
  top,
  levels: deflated(Uint8Array.from(levels.flat())),
  maxima: deflated(Float32Array.from(maxima)),
});

/** @param {number} threshold @param {number[]} labels */
const segmented = (threshold, labels) => ({
  threshold,
  found: {
    height: 2,
    width: 4,
    thresholds: [threshold],
    colours: [
      [1, 2, 3],
      [4, 5, 6],
    ],
    segments: [
      { id: 0, label: null, area: 4, share: 0.5, scores: [0.1, 0.5, 0.2] },
      { id: 1, label: null, area: 4, share: 0.5, scores: [0.9, 0.1, 0.2] },
    ],
  },
  labels_height: 1,
  labels_width: 2,
  labels: deflated(Uint16Array.from(labels)),
});

// Four places in a 2x2 grid, maps of 1x2; words: a, cat ("cat" of two tokens), then start, end, padding
const PLACES = packed(
  [2, 2],
  1,
  2,
  [
    [255, 0],
    [0, 255],
    [255, 255],
    [51, 102],
  ],
  [1, 2, 4, 0.5],
);
const WORDS = packed(
  [1, 2],
  1,
  2,
  [
    [255, 0],
    [0, 255],
    [51, 0],
    [0, 0],
    [255, 255],
  ],
  [1, 1, 1, 1, 1],
);
// Of step 2: one place that looks at two cells, in levels of 63
const LATE = packed([1, 1], 1, 2, [[63, 21]], [0.3], 63);
// The same in a block, where the word "cat" gets half as much, and padding most
const BLOCK_WORDS = packed(
  [1, 2],
  1,
  2,
  [
    [255, 0],
    [0, 255],
    [255, 0],
    [255, 0],
    [255, 0],
  ],
  [0.25, 0.5, 1, 1, 8],
);
const DATA = {
  run: { steps: 3, cells: 16 },
  steps: {
    0: { places: { all: PLACES, 1: PLACES }, words: { all: WORDS, 1: WORDS }, shares: PLACES },
    2: {
      places: { all: LATE, 1: LATE },
      words: { all: packed([1, 2], 1, 2, [[63, 0], [0, 0], [0, 0], [0, 0], [0, 0]], [0.5, 0, 0, 0, 0], 63) },
      shares: packed([1, 1], 1, 3, [[0, 255, 0]], [0.7]),
    },
  },
  trace: madeTrace({
    images: [madeImage("a kitten")],
    branches: ["cond"],
    steps: [0, 2].map((index) => ({ index, timestep: 900 - 300 * index })),
  }),
  picture: "data:image/webp;base64,",
  places: { all: PLACES, 2: PLACES, 1: PLACES },
  words: { all: WORDS, 1: BLOCK_WORDS },
  shares: packed(
    [2, 2],
    1,
    3,
    [
      [255, 0, 0],
      [0, 255, 0],
      [0, 0, 255],
      [0, 0, 0],
    ],
    [1, 1, 1, 0],
  ),
  segments: [segmented(0.5, [0, 1]), segmented(2, [1, 0])],
};
const document = { querySelector: () => ({ textContent: JSON.stringify(DATA) }) };
Object.assign(globalThis, { document });
const source = await import("attnscope/export-source");

/** @type {View} */
const VIEW = { block: null, head: null, step: null, branch: "cond", image: 0 };

/** @param {ArrayLike<number>} found @param {number[]} expected */
function near(found, expected) {
  assert.equal(found.length, expected.length);
  expected.forEach((one, at) => assert.ok(Math.abs(found[at] - one) < 1e-6, `${[...Array.from(found)]}`));
}

test("a place has the levels of its cell times its maximum", async () => {
  near((await source.place(0, VIEW, [0.1, 0.9])).values, [0, 2]);
  near((await source.place(0, VIEW, [0.9, 0.9])).values, [0.1, 0.2]);
});

test("a region is the mean over its places, with its numbers", async () => {
  const map = await source.place(0, VIEW, [0, 0, 0.5, 1]);
  near(map.values, [0.5, 1]);
  assert.deepEqual(
    [map.number, map.height, map.width, map.maximum, map.minimum, map.mean],
    [null, 1, 2, 1, 0.5, 0.75],
  );
  assert.deepEqual(map.peak, [0, 1]);
  const bits = -(1 / 3) * Math.log2(1 / 3) - (2 / 3) * Math.log2(2 / 3);
  assert.ok(Math.abs(map.entropy_bits - bits) < 1e-6);
  const { entropy_bits, peak } = await source.place(0, VIEW, [0.1, 0.1]);
  assert.deepEqual([entropy_bits, peak], [0, [0, 0]]);
});

test("every block answers with its number, all of them together do not", async () => {
  const maps = await source.placeBlocks(0, VIEW, [0.1, 0.1]);
  assert.deepEqual(
    maps.map((map) => map.number),
    [1, 2],
  );
  assert.equal((await source.place(0, { ...VIEW, block: 2 }, [0.1, 0.1])).number, 2);
});

test("words are weighed by their tokens", async () => {
  near((await source.words(0, VIEW, [1])).values, [1, 0]);
  near((await source.words(0, VIEW, [2, 3])).values, [0, 1]);
  near((await source.words(0, VIEW, [1, 2, 3])).values, [1 / 3, 2 / 3]);
  near((await source.words(0, VIEW, [0])).values, [0.2, 0]);
  near((await source.words(0, VIEW, [5, 6])).values, [1, 1]);
  assert.deepEqual(
    (await source.wordBlocks(0, VIEW, [1])).map((map) => map.number),
    [1],
  );
});

test("what places read is the mean over a region", async () => {
  near(await source.shares(0, VIEW, [0.1, 0.1]), [1, 0, 0]);
  near(await source.shares(0, VIEW, [0, 0, 1, 1]), [0.25, 0.25, 0.25]);
});

test("a step by itself has maps of its own, in its own levels", async () => {
  const late = { ...VIEW, step: 2 };
  for (const box of /** @type {[number, number][]} */ ([[0.1, 0.1], [0.9, 0.9]])) {
    near((await source.place(0, late, box)).values, [0.3, 0.1]);
  }
  near((await source.words(0, late, [1])).values, [0.5, 0]);
  near(await source.shares(0, late, [0.1, 0.1]), [0, 0.7, 0]);
  const blocks = await source.placeBlocks(0, late, [0.1, 0.1]);
  assert.deepEqual(blocks.map((map) => [map.number, Math.round(1e6 * map.maximum)]), [[1, 300000]]);
  assert.deepEqual((await source.tops(0, late, "view")).maxima, [0.5]); // of its own words
  assert.deepEqual((await source.tops(0, VIEW, "view")).maxima, [1]);
  near((await source.place(0, { ...VIEW, step: 0 }, [0.1, 0.9])).values, [0, 2]);
  near((await source.place(0, VIEW, [0.1, 0.9])).values, [0, 2]);
});

test("which steps there are singly is said", () => {
  assert.equal(source.stepCount(), 3);
  assert.equal(
    source.aboutSteps(),
    "Of 3 steps this page has 2 singly: 0, 2. Single steps are coarser: where a place looks has at most " +
      "16×16 cells, each the sum of the finer ones in it. Segments are of the mean over all steps.",
  );
});

test("segments are those of the nearest threshold, by its ratio", async () => {
  const recipe = { passes: 3, anchors: 16, unite: false, word: [] };
  const first = async (/** @type {number} */ threshold) =>
    (await source.segments(0, {}, { ...recipe, threshold })).labels[0];
  assert.deepEqual(source.thresholds(), [0.5, 2]);
  assert.deepEqual([await first(0.1), await first(0.9), await first(1.1), await first(9)], [0, 0, 1, 1]);
});

test("the scale of all words is up to the brightest word; start, end and padding are none", async () => {
  assert.deepEqual(await source.tops(0, VIEW, "view"), { numbers: [null], maxima: [1] });
  assert.deepEqual(await source.tops(0, { ...VIEW, block: 1 }, "view"), { numbers: [1], maxima: [0.5] });
  assert.deepEqual(await source.tops(0, VIEW, "block"), { numbers: [1, null], maxima: [0.5, 1] });
});

test("chosen words name segments by their scores, and a weak one does not", async () => {
  const named = async (/** @type {number[]} */ word) => {
    const recipe = { passes: 3, anchors: 16, unite: false, threshold: 0.5, word };
    const found = await source.segments(0, {}, recipe);
    assert.deepEqual([found.labels_height, found.labels_width, found.height], [1, 2, 2]);
    assert.deepEqual(found.colours[1], [4, 5, 6]);
    return found.segments.map((segment) => segment.label);
  };
  assert.deepEqual(await named([0, 1]), ["kitten", "a"]);
  assert.deepEqual(await named([1]), ["kitten", null]);
  assert.deepEqual(await named([]), [null, null]);
});

test("the page's own trace and picture are given", async () => {
  assert.equal((await source.traces()).traces[0].name, "run.trace");
  assert.equal(source.picture(), DATA.picture);
});

test("it has the server's functions, but those that only a server can answer", () => {
  /** @typedef {"labelsFile" | "placeFile" | "placeHeads" | "wordHeads" | "wordsFile"} Asked */
  /** @typedef {Asked | "at" | "waited" | "computation" | "computationFile" | "lesson"} OnlyLive */
  /** @type {Omit<typeof live, OnlyLive>} */
  const same = source;
  const lacking = Object.keys(live).filter((name) => !(name in same));
  const asked = ["labelsFile", "lesson", "placeFile", "placeHeads", "waited", "wordHeads", "wordsFile"];
  assert.deepEqual(lacking, ["at", "computation", "computationFile", ...asked]);
  assert.deepEqual(
    Object.keys(same).filter((name) => !(name in live)),
    [],
  );
  assert.deepEqual([live.LIVE, source.LIVE], [true, false]);
});
