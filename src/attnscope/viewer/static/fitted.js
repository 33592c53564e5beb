// The state as a trace can answer it.

import { later, listed, t } from "attnscope/lang";
import { headsOf, kindOf, layersOf, weightsOf } from "attnscope/look";
import { modeOf } from "attnscope/modes";
import { textOf } from "attnscope/words";

/** @import { WordId } from "attnscope/fields" */
/** @import { State } from "attnscope/state" */
/** @import { Fitted, TraceInfo } from "attnscope/types" */

/** @typedef {"block" | "step" | "head" | "branch"} Choice */

/** @type {Choice[]} */
const CHOICES = ["block", "step", "head", "branch"];

/** @type {Record<Choice, string>} */
const NAMED = {
  block: later("block {value}"),
  step: later("step {value}"),
  head: later("head {value}"),
  branch: later("branch {value}"),
};

/** @type {Record<Choice, string>} */
const ABSENT = {
  block: later("no block {value}"),
  step: later("no step {value}"),
  head: later("no head {value}"),
  branch: later("no branch {value}"),
};

/** @type {Record<Choice, string>} */
const MEANS = {
  block: later("the mean over all blocks"),
  step: later("the mean over all steps"),
  head: later("the mean over all heads"),
  branch: later("the mean over all branches"),
};

/**
 * What the trace lacks falls back to the mean over all, or to what there is; `lacks` says so.
 * @param {TraceInfo} info
 * @param {State} state
 * @returns {Fitted}
 */
export function fitted(info, state) {
  const layers = layersOf(info, kindOf(state));
  const image = info.images[state.image] ? state.image : 0;
  const branch = info.branches.includes(state.branch) ? state.branch : (info.branches.at(-1) ?? "cond");
  const own = { ...state, mode: modeOf(state.mode).name, image, branch };
  if (!layersOf(info, "self").some((layer) => layer.block === state.cutBlock)) own.cutBlock = null;
  if (!layers.some((layer) => layer.block === state.block)) own.block = null;
  if (!info.steps.some((step) => step.index === state.step)) own.step = null;
  if (state.head !== null && state.head >= headsOf(info, own)) own.head = null;
  /** @param {WordId} id */
  const isWord = (id) => typeof id !== "number" || id in textOf(info, own).words;
  own.words = state.words.filter(isWord);
  own.names = state.names?.filter(isWord) ?? null;
  if (!weighsAll(info, state)) own.weights = "";
  return { ...own, lacks: lacks(state, own) };
}

/**
 * Whether weights are given for just the heights that the trace has
 * @param {TraceInfo} info
 * @param {State} state
 */
function weighsAll(info, state) {
  const heights = new Set(layersOf(info, "self").map((layer) => String(layer.grid[0])));
  const weighed = weightsOf(state).map(([height]) => height);
  return weighed.length === heights.size && weighed.every((height) => heights.has(height));
}

/**
 * @param {State} state
 * @param {State} own
 */
function lacks(state, own) {
  const missing = CHOICES.filter((name) => state[name] !== null && own[name] !== state[name]);
  if (!missing.length) return null;
  const asked = missing.map((name) => t(ABSENT[name], { value: String(state[name]) }));
  const shown = missing.map((name) =>
    own[name] === null ? t(MEANS[name]) : t(NAMED[name], { value: String(own[name]) }),
  );
  return t("This trace has {asked}: shown is {shown}.", { asked: listed(asked), shown: listed(shown) });
}
