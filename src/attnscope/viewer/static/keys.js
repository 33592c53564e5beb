// Keys that work everywhere but in fields.

import { fitted } from "attnscope/fitted";
import { headsOf, kindOf, layersOf } from "attnscope/look";
import { chosenOf } from "attnscope/learn/choice";
import { shownModes } from "attnscope/modes";
import { traceOf } from "attnscope/shelf";
import * as source from "attnscope/source";
import { get, set } from "attnscope/state";
import { studioNow } from "attnscope/studio/news";
import { turnTheme } from "attnscope/theme";
import { contentWords, textOf } from "attnscope/words";

/** @import { State } from "attnscope/state" */
/** @import { TraceInfo } from "attnscope/types" */

/**
 * @param {KeyboardEvent} event
 * @param {TraceInfo[]} traces
 */
export function onKey(event, traces) {
  if (event.ctrlKey || event.metaKey || event.altKey || isField(event.target)) return;
  const state = get();
  const info = traceOf(traces, state.trace);
  const change = info && keyChange(event.key, info, state);
  if (event.key === "t") turnTheme();
  else if (event.key === "p") set({ bare: true });
  else if (event.key === "c") document.getElementById("copy-code")?.click();
  else if (event.key === "s") document.getElementById("save")?.click();
  else if (change) set(change);
}

/** The picture alone is shown as long as the key is held. @param {KeyboardEvent} event */
export function onKeyUp(event) {
  if (event.key === "p") set({ bare: false });
}

/** @param {EventTarget | null} target */
const isField = (target) => target instanceof Element && /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName);

const STEPS = [",", "."]; // of which an exported page has places and words, and no single heads

/**
 * What a key changes, null for nothing; that of a mode is its number among the buttons
 * @param {string} key
 * @param {TraceInfo} info
 * @param {State} state
 */
export function keyChange(key, info, state) {
  if (!source.LIVE && (key === "h" || (state.mode === "segments" && STEPS.includes(key)))) return null;
  const mode = shownModes(studioNow() !== null)[Number(key) - 1];
  return mode ? { mode: mode.name, cursor: null } : (CHANGES.get(key)?.(info, state) ?? null);
}

/** @type {[string, (info: TraceInfo, state: State) => Partial<State>][]} */
const KEYS = [
  ["[", (info, state) => ({ block: turn(blocksOf(info, state), chosen(info, state).block, -1) })],
  ["]", (info, state) => ({ block: turn(blocksOf(info, state), chosen(info, state).block, 1) })],
  [",", (info, state) => ({ step: turn(stepsOf(info, state), chosen(info, state).step, -1) })],
  [".", (info, state) => ({ step: turn(stepsOf(info, state), chosen(info, state).step, 1) })],
  ["h", (info, state) => ({ head: turn(headNumbers(info, state), chosen(info, state).head, 1) })],
  ["w", nextWord],
  ["?", (_, state) => ({ hint: !state.hint })],
  ["Escape", () => ({ hint: false, cursor: null })],
];

const CHANGES = new Map(KEYS);

/** @typedef {(number | null)[]} Turns null: the mean over all */

/** A lesson has no means: @type {(state: State) => Turns} */
const mean = ({ mode }) => (mode === "learn" ? [] : [null]);

/**
 * Block, head and step that are looked at
 * @param {TraceInfo} info
 * @param {State} state
 * @returns {Pick<State, "block" | "head" | "step">}
 */
const chosen = (info, state) => (state.mode === "learn" ? chosenOf(info, state)?.view : null) ?? state;

/**
 * The next in a round
 * @param {Turns} list
 * @param {number | null} value
 * @param {number} by
 */
const turn = (list, value, by) => list[(list.indexOf(value) + by + list.length) % list.length];

/**
 * @param {TraceInfo} info
 * @param {State} state
 * @returns {Turns}
 */
const blocksOf = (info, state) => [
  ...mean(state),
  ...layersOf(info, kindOf(state)).map((layer) => layer.block),
];

/**
 * @param {TraceInfo} info
 * @param {State} state
 * @returns {Turns}
 */
const stepsOf = (info, state) => [...mean(state), ...info.steps.map((step) => step.index)];

/**
 * @param {TraceInfo} info
 * @param {State} state
 * @returns {Turns}
 */
const headNumbers = (info, state) => [...mean(state), ...Array(headsOf(info, fitted(info, state))).keys()];

/**
 * @param {TraceInfo} info
 * @param {State} state
 * @returns {Partial<State>}
 */
function nextWord(info, state) {
  const words = contentWords(textOf(info, state));
  if (!words.length) return {};
  const at = words.findIndex((word) => word === state.words[0]);
  const next = state.mode === "words" ? (at + 1) % words.length : Math.max(at, 0);
  return { mode: "words", words: [words[next]], otherWords: null };
}
