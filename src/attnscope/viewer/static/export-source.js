// The answers of an exported page, from the data inside it. The functions are those of source.js.

import { cellsOf } from "attnscope/cells";
import { t } from "attnscope/lang";
import { roleTokens, textOf } from "attnscope/words";

/** @import { ManyOfBox, ManyOfTokens, OfBox, OfTokens } from "attnscope/source" */
/** @import { Box, FieldMap, Found, Grid, Recipe } from "attnscope/types" */
/** @import { SegmentInfo, SegmentsInfo, TraceInfo, View } from "attnscope/types" */

export const LIVE = false;

/**
 * top: the level of each map's maximum
 * @typedef {object} Packed
 * @property {Grid} grid
 * @property {number} height
 * @property {number} width
 * @property {number} top
 * @property {string} levels
 * @property {string} maxima
 */
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
 * places, words: by block, or "all"
 * @typedef {object} Maps
 * @property {Record<string, Packed>} places
 * @property {Record<string, Packed>} words
 * @property {Packed} shares
 */

/**
 * Means over the run, and by number the steps that the page has singly. run: over how many steps means are,
 * and the most cells of a side of a single step's map. What export.py writes.
 * @typedef {object} Data
 * @property {TraceInfo} trace
 * @property {string | null} picture
 * @property {{ steps: number, cells: number }} run
 * @property {Record<string, Maps>} steps
 * @property {Segmented[]} segments
 */

/** @typedef {Data & Maps} PageData */

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
    const scale = all.maxima[one] / all.top / numbers.length;
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
 * What the page has of the chosen step. A page of one step has nothing else.
 * @param {View} view
 * @returns {Maps}
 */
const mapsAt = ({ step }) => (step === null ? data : (data.steps[step] ?? data));

/**
 * @param {Maps} maps
 * @param {number | null} block
 * @param {Box} box
 */
async function placeIn(maps, block, box) {
  const all = await unpacked(maps.places[name(block)]);
  return meanOf(all, cells(box, all.grid), block);
}

// Words as export.py lists them: those of the text that the branch reads, then start, end and padding
const read = textOf(data.trace, { image: 0, branch: data.trace.branches[0] });
const spans = [...read.words.map((word) => word.tokens), ...roleTokens(read).map(([, tokens]) => tokens)];

/**
 * @param {Maps} maps
 * @param {number | null} block
 * @param {number[]} tokens
 */
async function wordsIn(maps, block, tokens) {
  const all = await unpacked(maps.words[name(block)]);
  const asked = spans.flatMap((span, number) =>
    span.length && span.every((token) => tokens.includes(token)) ? Array(span.length).fill(number) : [],
  );
  return meanOf(all, asked, block);
}

/** An exported page has no server @returns {Promise<never>} */
export const fetched = () => Promise.reject(new Error(t("This page has no server.")));

export const traces = async () => ({ version: "", traces: [data.trace], studio: false });

export const picture = () => data.picture;

/** @type {OfBox} */
export const place = (trace, view, box) => placeIn(mapsAt(view), view.block, box);

/** @type {OfTokens} */
export const words = (trace, view, tokens) => wordsIn(mapsAt(view), view.block, tokens);

/** @type {ManyOfBox} */
export const placeBlocks = (trace, view, box) =>
  Promise.all(blocksOf(mapsAt(view).places).map((block) => placeIn(mapsAt(view), block, box)));

/** @type {ManyOfTokens} */
export const wordBlocks = (trace, view, tokens) =>
  Promise.all(blocksOf(mapsAt(view).words).map((block) => wordsIn(mapsAt(view), block, tokens)));

/** @type {typeof import("attnscope/source").shares} */
export async function shares(trace, view, box) {
  const all = await unpacked(mapsAt(view).shares);
  return meanOf(all, cells(box, all.grid), null).values;
}

export const stepCount = () => data.run.steps;

export function aboutSteps() {
  const { steps: count, cells: most } = data.run;
  const held = data.trace.steps.map((step) => step.index);
  if (!held.length) return t("This page has only the mean over all {count} steps.", { count });
  const fine = t(
    "Single steps are coarser: where a place looks has at most {cells}×{cells} cells, each the sum of the " +
      "finer ones in it. Segments are of the mean over all steps.",
    { cells: most },
  );
  if (held.length === count) return fine;
  const named = { count, held: held.length, steps: held.join(", ") };
  return `${t("Of {count} steps this page has {held} singly: {steps}.", named)} ${fine}`;
}

/** @type {typeof import("attnscope/source").tops} */
export async function tops(trace, view, each) {
  const { words: held } = mapsAt(view);
  const blocks = each === "block" ? [...blocksOf(held), null] : [view.block];
  const maxima = await Promise.all(
    blocks.map(async (block) => {
      const all = await unpacked(held[name(block)]);
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
