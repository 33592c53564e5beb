// The answers of an exported page, from the data inside it. The functions are those of source.js.

import { cellsOf } from "attnscope/cells";
import { roleTokens, textOf } from "attnscope/words";

/** @import { ManyOfBox, ManyOfTokens, OfBox, OfTokens } from "attnscope/source" */
/** @import { Box, FieldMap, Found, Grid, Recipe } from "attnscope/types" */
/** @import { SegmentInfo, SegmentsInfo, TraceInfo } from "attnscope/types" */

export const LIVE = false;

/** @typedef {{ grid: Grid, height: number, width: number, levels: string, maxima: string }} Packed */
/** @typedef {Omit<Packed, "levels" | "maxima"> & { levels: Uint8Array, maxima: Float32Array }} Unpacked */

/**
 * @typedef {object} Segmented
 * @property {number} threshold
 * @property {SegmentsInfo} found
 * @property {string} labels
 * @property {number} labels_height
 * @property {number} labels_width
 */

/**
 * places, words: by block, or "all". What export.py writes.
 * @typedef {object} PageData
 * @property {TraceInfo} trace
 * @property {string | null} picture
 * @property {Record<string, Packed>} places
 * @property {Record<string, Packed>} words
 * @property {Packed} shares
 * @property {Segmented[]} segments
 */

/** @type {PageData} */
const data = JSON.parse(document.querySelector("#data")?.textContent ?? "");

/** @param {string} text */
async function inflated(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

/** @type {Map<Packed, Promise<Unpacked>>} */
const opened = new Map();

/**
 * One block's maps, unpacked once
 * @param {Packed} packed
 */
function unpacked(packed) {
  const answer = opened.get(packed) ?? unpack(packed);
  opened.set(packed, answer);
  return answer;
}

/** @param {Packed} packed */
async function unpack(packed) {
  const [levels, maxima] = await Promise.all([inflated(packed.levels), inflated(packed.maxima)]);
  return { ...packed, levels: new Uint8Array(levels), maxima: new Float32Array(maxima) };
}

/**
 * The mean of these maps, with its numbers
 * @param {Unpacked} all
 * @param {number[]} numbers
 * @param {number | null} number
 * @returns {FieldMap}
 */
function meanOf(all, numbers, number) {
  const size = all.height * all.width;
  const values = new Float32Array(size);
  for (const one of numbers) {
    const scale = all.maxima[one] / 255 / numbers.length;
    for (let at = 0; at < size; at++) values[at] += all.levels[one * size + at] * scale;
  }
  return { number, height: all.height, width: all.width, values, ...numbersOf(values, all.width) };
}

/**
 * @param {Float32Array} values
 * @param {number} width
 */
function numbersOf(values, width) {
  let [sum, top, low] = [0, 0, Infinity];
  values.forEach((value, at) => {
    sum += value;
    if (value > values[top]) top = at;
    low = Math.min(low, value);
  });
  return {
    mean: sum / values.length,
    minimum: low,
    maximum: values[top],
    peak: /** @type {Grid} */ ([Math.floor(top / width), top % width]),
    entropy_bits: entropy(values, sum),
  };
}

/**
 * @param {Float32Array} values
 * @param {number} sum
 */
const entropy = (values, sum) =>
  values.reduce((bits, value) => (value > 0 ? bits - (value / sum) * Math.log2(value / sum) : bits), 0);

/**
 * Numbers of the maps of a box's places
 * @param {Box} box
 * @param {Grid} grid
 */
function cells(box, grid) {
  const [top, left, bottom, right] = cellsOf(box, grid);
  const found = [];
  for (let row = top; row <= bottom; row++)
    for (let column = left; column <= right; column++) found.push(row * grid[1] + column);
  return found;
}

/** @param {number | null} block */
const name = (block) => (block === null ? "all" : String(block));

/** @param {Record<string, Packed>} packed */
const blocksOf = (packed) =>
  Object.keys(packed)
    .filter((block) => block !== "all")
    .map(Number);

/**
 * @param {number | null} block
 * @param {Box} box
 */
async function placeIn(block, box) {
  const all = await unpacked(data.places[name(block)]);
  return meanOf(all, cells(box, all.grid), block);
}

// Words as export.py lists them: those of the text that the branch reads, then start, end and padding
const read = textOf(data.trace, { image: 0, branch: data.trace.branches[0] });
const spans = [...read.words.map((word) => word.tokens), ...roleTokens(read).map(([, tokens]) => tokens)];

/**
 * @param {number | null} block
 * @param {number[]} tokens
 */
async function wordsIn(block, tokens) {
  const all = await unpacked(data.words[name(block)]);
  const asked = spans.flatMap((span, number) =>
    span.length && span.every((token) => tokens.includes(token)) ? Array(span.length).fill(number) : [],
  );
  return meanOf(all, asked, block);
}

export const traces = async () => ({ version: "", traces: [data.trace], studio: false });

export const picture = () => data.picture;

/** @type {OfBox} */
export const place = (trace, view, box) => placeIn(view.block, box);

/** @type {OfTokens} */
export const words = (trace, view, tokens) => wordsIn(view.block, tokens);

/** @type {ManyOfBox} */
export const placeBlocks = (trace, view, box) =>
  Promise.all(blocksOf(data.places).map((block) => placeIn(block, box)));

/** @type {ManyOfTokens} */
export const wordBlocks = (trace, view, tokens) =>
  Promise.all(blocksOf(data.words).map((block) => wordsIn(block, tokens)));

/** @type {typeof import("attnscope/source").shares} */
export async function shares(trace, view, box) {
  const all = await unpacked(data.shares);
  return meanOf(all, cells(box, all.grid), null).values;
}

/** @type {typeof import("attnscope/source").tops} */
export async function tops(trace, view, each) {
  const blocks = each === "block" ? [...blocksOf(data.words), null] : [view.block];
  const maxima = await Promise.all(
    blocks.map(async (block) => {
      const all = await unpacked(data.words[name(block)]);
      return Math.max(...all.maxima.subarray(0, read.words.length));
    }),
  );
  return { numbers: blocks, maxima };
}

export const thresholds = () => data.segments.map((one) => one.threshold);

/**
 * Those of the nearest threshold that the page has
 * @param {number} trace
 * @param {unknown} source
 * @param {Recipe} recipe
 * @returns {Promise<Found>}
 */
export async function segments(trace, source, recipe) {
  const nearest = data.segments.reduce((best, one) =>
    distance(one, recipe.threshold) < distance(best, recipe.threshold) ? one : best,
  );
  const labels = new Uint16Array(await inflated(nearest.labels));
  const named = nearest.found.segments.map((segment) => ({
    ...segment,
    label: nameOf(segment, nearest.found.segments, recipe.word),
  }));
  const { labels_height, labels_width } = nearest;
  return { ...nearest.found, segments: named, labels, labels_height, labels_width };
}

/**
 * @param {Segmented} one
 * @param {number} threshold
 */
const distance = (one, threshold) => Math.abs(Math.log(one.threshold / threshold));

/**
 * The word that fits best, or null where it gets less attention than in the picture: segmentation/naming.py
 * @param {SegmentInfo} segment
 * @param {SegmentInfo[]} all
 * @param {number[]} named
 */
function nameOf({ scores }, all, named) {
  /** @type {number | null} */
  let best = null;
  for (const word of named) if (best === null || scores[word] > scores[best]) best = word;
  if (best === null) return null;
  const word = best;
  const mean = all.reduce((sum, segment) => sum + segment.share * segment.scores[word], 0);
  return scores[word] < mean * (1 - 1e-6) ? null : read.words[word].text;
}
