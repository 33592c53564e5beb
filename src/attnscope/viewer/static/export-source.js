// The answers of an exported page, from the data inside it. The functions are those of source.js.

import { cellsOf } from "attnscope/look";

export const LIVE = false;

const data = JSON.parse(document.querySelector("#data").textContent);

async function inflated(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

const opened = new Map();

// {grid, height, width, levels, maxima} of one block's maps, unpacked once
function unpacked(packed) {
  if (!opened.has(packed)) {
    opened.set(
      packed,
      Promise.all([inflated(packed.levels), inflated(packed.maxima)]).then(([levels, maxima]) => ({
        ...packed,
        levels: new Uint8Array(levels),
        maxima: new Float32Array(maxima),
      })),
    );
  }
  return opened.get(packed);
}

// The mean of these maps, with its numbers
function meanOf(all, numbers, number) {
  const size = all.height * all.width;
  const values = new Float32Array(size);
  for (const one of numbers) {
    const scale = all.maxima[one] / 255 / numbers.length;
    for (let at = 0; at < size; at++) values[at] += all.levels[one * size + at] * scale;
  }
  return { number, height: all.height, width: all.width, values, ...numbersOf(values, all.width) };
}

function numbersOf(values, width) {
  let [sum, top, low] = [0, 0, Infinity];
  values.forEach((value, at) => {
    sum += value;
    if (value > values[top]) top = at;
    low = Math.min(low, value);
  });
  const entropy = values.reduce((bits, value) => (value > 0 ? bits - (value / sum) * Math.log2(value / sum) : bits), 0);
  return {
    mean: sum / values.length,
    minimum: low,
    maximum: values[top],
    peak: [Math.floor(top / width), top % width],
    entropy_bits: entropy,
  };
}

function cells(box, grid) {
  const [top, left, bottom, right] = cellsOf(box, grid);
  const found = [];
  for (let row = top; row <= bottom; row++)
    for (let column = left; column <= right; column++) found.push(row * grid[1] + column);
  return found;
}

const name = (block) => (block === null || block === undefined ? "all" : String(block));
const blocksOf = (packed) =>
  Object.keys(packed)
    .filter((block) => block !== "all")
    .map(Number);

async function placeIn(block, box) {
  const all = await unpacked(data.places[name(block)]);
  return meanOf(all, cells(box, all.grid), block);
}

// Words as export.py lists them: those of the prompt, then start, end and padding
const roles = ["start", "end", "padding"];
const image = data.trace.images[0];
const spans = [
  ...image.words.map((word) => word.tokens),
  ...roles
    .map((role) => image.tokens.filter((token) => token.role === role).map((token) => token.index))
    .filter((tokens) => tokens.length),
];

async function wordsIn(block, tokens) {
  const all = await unpacked(data.words[name(block)]);
  const asked = spans.flatMap((span, number) =>
    span.length && span.every((token) => tokens.includes(token)) ? Array(span.length).fill(number) : [],
  );
  return meanOf(all, asked, block);
}

export const traces = async () => ({ traces: [data.trace] });
export const picture = () => data.picture;
export const place = (trace, view, box) => placeIn(view.block, box);
export const words = (trace, view, tokens) => wordsIn(view.block, tokens);
export const placeBlocks = (trace, view, box) => Promise.all(blocksOf(data.places).map((block) => placeIn(block, box)));
export const wordBlocks = (trace, view, tokens) =>
  Promise.all(blocksOf(data.words).map((block) => wordsIn(block, tokens)));

export async function shares(trace, view, box) {
  const all = await unpacked(data.shares);
  return meanOf(all, cells(box, all.grid), null).values;
}

export const thresholds = () => data.segments.map((one) => one.threshold);

export async function segments(trace, source, recipe) {
  const nearest = data.segments.reduce((best, one) =>
    Math.abs(Math.log(one.threshold / recipe.threshold)) < Math.abs(Math.log(best.threshold / recipe.threshold))
      ? one
      : best,
  );
  const labels = new Uint16Array(await inflated(nearest.labels));
  const named = nearest.found.segments.map((segment) => ({ ...segment, label: nameOf(segment.scores, recipe.word) }));
  return {
    ...nearest.found,
    segments: named,
    labels,
    labels_height: nearest.labels_height,
    labels_width: nearest.labels_width,
  };
}

function nameOf(scores, words) {
  const best = words.reduce((most, word) => (most === null || scores[word] > scores[most] ? word : most), null);
  return best === null ? null : image.words[best].text;
}
