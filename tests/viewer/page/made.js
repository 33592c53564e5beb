// A small made trace and its state, and what a browser has and Node has not.

import { FIRST } from "attnscope/fields";
import { fitted } from "attnscope/fitted";

/** @import { State } from "attnscope/state" */
/** @import { Fitted, ImageInfo, Kind, LayerInfo, TextInfo, TraceInfo } from "attnscope/types" */

const TEXT = /** @type {const} */ ("text");

/**
 * Words as tokens of four letters each, between a start, an end and two of padding
 * @param {string} prompt
 * @returns {TextInfo}
 */
export function madeText(prompt) {
  let next = 1;
  const words = prompt.split(" ").filter(Boolean).map((text) => {
    const tokens = Array.from({ length: Math.ceil(text.length / 4) }, () => next++);
    return { text, tokens };
  });
  /** @type {TextInfo["tokens"]} */
  const tokens = [
    { index: 0, text: "<start>", role: "start" },
    ...words.flatMap(({ text, tokens: own }) => own.map((index) => ({ index, text, role: TEXT }))),
    { index: next, text: "<end>", role: "end" },
    { index: next + 1, text: "<end>", role: "padding" },
    { index: next + 2, text: "<end>", role: "padding" },
  ];
  return { text: prompt, tokens, words };
}

/**
 * @param {string} prompt
 * @param {string} negative
 * @returns {ImageInfo}
 */
export const madeImage = (prompt, negative = "") => ({
  texts: { uncond: madeText(negative), cond: madeText(prompt) },
  height: 64,
  width: 96,
});

/**
 * @param {number} block
 * @param {Kind} kind
 * @param {Partial<LayerInfo>} changes
 * @returns {LayerInfo}
 */
export const madeLayer = (block, kind, changes = {}) => ({
  block,
  kind,
  path: `block.${block}`,
  stage: "down",
  heads: 2,
  grid: [8, 12],
  head_dim: 4,
  keys: kind === "self" ? 96 : 77,
  softmax: kind === "self" ? 96 : 77,
  ...changes,
});

/**
 * Two blocks, 8x12 and 4x6, each with both kinds; three steps
 * @param {Partial<TraceInfo>} changes
 * @returns {TraceInfo}
 */
export function madeTrace(changes = {}) {
  return {
    number: 0,
    name: "run.trace",
    folder: "out/run.trace",
    model: null,
    seed: 0,
    images: [madeImage("a red house under the sky"), madeImage("a blue boat")],
    branches: ["uncond", "cond"],
    steps: [0, 1, 2].map((index) => ({ index, timestep: 900 - 300 * index })),
    layers: [
      madeLayer(1, "self"),
      madeLayer(1, "cross"),
      madeLayer(2, "self", { grid: [4, 6], heads: 4, keys: 24, softmax: 24 }),
      madeLayer(2, "cross", { grid: [4, 6], heads: 4 }),
    ],
    not_drawn: "",
    size: [64, 96],
    threshold: 1.1,
    threshold_source: "measured",
    step: null,
    ...changes,
  };
}

/**
 * @param {Partial<State>} changes
 * @returns {State}
 */
export const madeState = (changes = {}) => ({ ...FIRST, cursor: null, ...changes });

/**
 * @param {TraceInfo} info
 * @param {Partial<State>} changes
 * @returns {Fitted}
 */
export const fittedState = (info, changes = {}) => fitted(info, madeState(changes));

/** Numbers in 0..1 that are the same at every run. @param {number} seed */
export function random(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** An ImageData as browsers have it, as far as the page uses it */
class Pixels {
  /** @param {number} width @param {number} height */
  constructor(width, height) {
    this.width = width;
    this.height = height;
    this.data = new Uint8ClampedArray(4 * width * height);
  }
}

Object.assign(globalThis, { ImageData: Pixels });

/**
 * The colours of an image as [red, green, blue, alpha] of every pixel
 * @param {ImageData} image
 */
export function colours({ data }) {
  return Array.from({ length: data.length / 4 }, (_, at) => [...data.subarray(4 * at, 4 * at + 4)]);
}
