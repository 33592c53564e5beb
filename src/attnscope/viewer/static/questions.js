// What is asked of a trace: questions that follow from the state.

import { useAnswer } from "attnscope/asking";
import { boxOf, everywhere, layersOf, recipeOf, sourceOf, viewOf } from "attnscope/look";
import * as source from "attnscope/source";
import { cutQuestion } from "attnscope/tools/cutting";
import { areOfText, textOf, tokensOf, wordsOf } from "attnscope/words";

/** @import { Question } from "attnscope/asking" */
/** @import { Each } from "attnscope/source" */
/** @import { Cut, FieldMap, Fitted, Found, Kind, Look, Tops, TraceInfo, View } from "attnscope/types" */

/**
 * shown: the map over the picture; self, cross: small maps of all blocks; found: segments; top, blockTops,
 * headTops: the common scales of all words
 * @typedef {object} Questions
 * @property {Question<FieldMap>} [shown]
 * @property {Question<FieldMap[]>} [self]
 * @property {Question<FieldMap[]>} [cross]
 * @property {Question<FieldMap[]>} [heads]
 * @property {Question<ArrayLike<number>>} [shares]
 * @property {Question<Found>} [found]
 * @property {Question<Tops>} [top]
 * @property {Question<Tops>} [blockTops]
 * @property {Question<Tops>} [headTops]
 * @property {Question<Cut>} [cut]
 */

/**
 * What a trace (or none: null) answers to what is looked at
 * @param {TraceInfo | null} info
 * @param {Fitted | null} state
 * @returns {Look}
 */
export function useLook(info, state) {
  const asked = info && state ? questionsOf(info, state) : {};
  return {
    shown: useAnswer(asked.shown),
    blocks: { self: useAnswer(asked.self), cross: useAnswer(asked.cross) },
    heads: useAnswer(asked.heads),
    shares: useAnswer(asked.shares),
    found: useAnswer(asked.found),
    tops: { view: useAnswer(asked.top), block: useAnswer(asked.blockTops), head: useAnswer(asked.headTops) },
    cut: useAnswer(asked.cut),
  };
}

/**
 * @param {TraceInfo} info
 * @param {Fitted} state
 * @returns {Questions}
 */
export function questionsOf(info, state) {
  if (state.mode === "learn") return {}; // it asks by itself
  if (state.mode === "segments") return holds(info, "self") ? { found: segmentsQuestion(info, state) } : {};
  if (state.mode === "cutout") return holds(info, "self") ? { cut: cutQuestion(info, state) } : {};
  return { ...blockQuestions(info, state), ...mapQuestions(info, state) };
}

/**
 * @param {TraceInfo} info
 * @param {Kind} kind
 */
const holds = (info, kind) => layersOf(info, kind).length > 0;

/**
 * @template V
 * @param {TraceInfo} info
 * @param {Fitted} state
 * @param {unknown[]} parts what tells it from other questions about this view
 * @param {Question<V>["ask"]} ask
 * @returns {Question<V>}
 */
function question(info, state, parts, ask) {
  return { key: JSON.stringify([info.number, viewOf(state), ...parts]), group: String(info.number), ask };
}

/**
 * Both kinds whatever the mode: the place under the cursor or pinned, and the chosen words
 * @param {TraceInfo} info
 * @param {Fitted} state
 * @returns {Questions}
 */
function blockQuestions(info, state) {
  const [trace, all] = [info.number, everywhere(info, state)];
  const [box, tokens] = [boxOf(state), tokensIn(info, state)];
  /** @type {Questions} */
  const asked = {};
  if (box && holds(info, "self")) {
    asked.self = question(info, state, ["blocks", box], () => source.placeBlocks(trace, all, box));
  }
  if (tokens.length && holds(info, "cross")) {
    asked.cross = question(info, state, ["blocks", tokens], () => source.wordBlocks(trace, all, tokens));
    if (sharesScale(info, state)) asked.blockTops = topsQuestion(info, state, all, "block");
  }
  return asked;
}

/**
 * Whether maps of words have the scale of all words: start, end and padding are none
 * @param {TraceInfo} info
 * @param {Fitted} state
 */
export const sharesScale = (info, state) =>
  state.top === null && state.range === "words" && areOfText(textOf(info, state), wordsOf(state));

/**
 * @param {TraceInfo} info
 * @param {Fitted} state
 * @param {View} view
 * @param {Each} each
 * @returns {Question<Tops>}
 */
function topsQuestion(info, state, view, each) {
  const asked = { ...view, ...(each === "view" ? {} : { [each]: null }) };
  const key = JSON.stringify([info.number, asked, "tops", each]);
  return { key, group: String(info.number), ask: () => source.tops(info.number, asked, each) };
}

/**
 * In the mean over all blocks it comes with those of the blocks, which are asked anyway
 * @param {TraceInfo} info
 * @param {Fitted} state
 * @param {View} view
 */
function topQuestion(info, state, view) {
  const all = everywhere(info, state);
  const isMean = view.block === null && view.head === all.head;
  return isMean ? topsQuestion(info, state, all, "block") : topsQuestion(info, state, view, "view");
}

/**
 * @param {TraceInfo} info
 * @param {Fitted} state
 */
const tokensIn = (info, state) => tokensOf(textOf(info, state), wordsOf(state));

/**
 * @param {TraceInfo} info
 * @param {Fitted} state
 * @returns {Questions}
 */
function mapQuestions(info, state) {
  const asked = state.mode === "places" ? placeQuestions(info, state) : wordQuestions(info, state);
  if (!source.LIVE || state.block === null) {
    delete asked.heads;
    delete asked.headTops;
  }
  return asked;
}

/**
 * @param {TraceInfo} info
 * @param {Fitted} state
 * @returns {Questions}
 */
function placeQuestions(info, state) {
  const [trace, view, box] = [info.number, viewOf(state), boxOf(state)];
  /** @type {Questions} */
  const asked = {};
  if (box && holds(info, "self")) {
    asked.shown = question(info, state, ["place", box], () => source.place(trace, view, box));
    asked.heads = question(info, state, ["heads", box], () => source.placeHeads(trace, view, box));
  }
  if (box && holds(info, "cross")) {
    const read = sharesView(info, view);
    asked.shares = question(info, state, ["shares", box], () => source.shares(trace, read, box));
  }
  return asked;
}

/**
 * Words are read in the chosen block too, where it has cross-attention
 * @param {TraceInfo} info
 * @param {View} view
 */
function sharesView(info, view) {
  const known = layersOf(info, "cross").some((layer) => layer.block === view.block);
  return known ? view : { ...view, block: null };
}

/**
 * @param {TraceInfo} info
 * @param {Fitted} state
 * @returns {Questions}
 */
function wordQuestions(info, state) {
  const [trace, view, tokens] = [info.number, viewOf(state), tokensIn(info, state)];
  if (!tokens.length || !holds(info, "cross")) return {};
  /** @type {Questions} */
  const asked = {
    shown: question(info, state, ["words", tokens], () => source.words(trace, view, tokens)),
    heads: question(info, state, ["heads", tokens], () => source.wordHeads(trace, view, tokens)),
  };
  if (sharesScale(info, state)) {
    asked.top = topQuestion(info, state, view);
    asked.headTops = topsQuestion(info, state, view, "head");
  }
  return asked;
}

/**
 * A group for each aggregate, so that the work for one that is not looked at any more stops
 * @param {TraceInfo} info
 * @param {Fitted} state
 * @returns {Question<Found>}
 */
function segmentsQuestion(info, state) {
  const [from, recipe] = [sourceOf(state), recipeOf(info, state)];
  return {
    key: JSON.stringify([info.number, from, recipe]),
    group: JSON.stringify([info.number, from]),
    ask: (signal, told) => source.segments(info.number, from, recipe, told, signal),
  };
}
