// The words of a prompt: which can be chosen, which stand for a thing, which tokens are theirs.

import { later, t } from "attnscope/lang";

/** @import { WordId } from "attnscope/fields" */
/** @import { State } from "attnscope/state" */
/** @import { ChoosableWord, TextInfo, TokenInfo, TraceInfo } from "attnscope/types" */

const FILLERS = new Set(
  (
    "a an the and or of in on at to with under over by for from is are was " +
    "front picture photo drawing there this that"
  ).split(" "),
);

const COLOURS = new Set("red orange yellow green blue purple pink white black grey gray brown".split(" "));

/** @type {TextInfo} */
const NO_TEXT = { text: "", tokens: [], words: [] };

/**
 * The text that a branch of an image reads: the prompt or the negative prompt
 * @param {TraceInfo} info
 * @param {Pick<State, "image" | "branch">} state
 * @returns {TextInfo}
 */
export function textOf(info, { image, branch }) {
  const texts = (info.images[image] ?? info.images[0])?.texts ?? {};
  return texts[branch] ?? texts[info.branches.at(-1) ?? ""] ?? NO_TEXT;
}

/**
 * Words as they can be chosen: those of a text by number, then start, end and padding where there are.
 * @param {TextInfo} read
 */
export function choosable(read) {
  /** @type {ChoosableWord[]} */
  const words = read.words.map(({ text, tokens }, id) => ({ id, text, tokens, role: "text" }));
  for (const [role, tokens] of roleTokens(read)) words.push({ id: role, text: t(NAMES[role]), tokens, role });
  return words;
}

/** @type {Record<string, string>} */
const NAMES = { start: later("start"), end: later("end"), padding: later("padding") };

/** @type {TokenInfo["role"][]} */
const ROLES = ["start", "end", "padding"];

/**
 * The tokens around the words, by role; a role that no token has is left out
 * @param {TextInfo} read
 * @returns {[TokenInfo["role"], number[]][]}
 */
export function roleTokens(read) {
  /** @param {TokenInfo["role"]} role */
  const tokens = (role) => read.tokens.filter((token) => token.role === role).map((token) => token.index);
  return ROLES.map((role) => /** @type {[TokenInfo["role"], number[]]} */ ([role, tokens(role)])).filter(
    ([, found]) => found.length,
  );
}

/**
 * @param {TextInfo} read
 * @param {WordId[]} ids
 */
export function tokensOf(read, ids) {
  return choosable(read)
    .filter((word) => ids.includes(word.id))
    .flatMap((word) => word.tokens);
}

/**
 * Numbers of the words that are more than articles, prepositions and the like
 * @param {TextInfo} read
 */
export function contentWords(read) {
  const numbers = read.words.map((_, number) => number);
  return numbers.filter((number) => !FILLERS.has(lower(read, number)));
}

/**
 * What to show first: a word that is more than a colour
 * @param {TextInfo} read
 */
export function firstWords(read) {
  const words = contentWords(read);
  const first = words.find((number) => !COLOURS.has(lower(read, number))) ?? words[0];
  return first === undefined ? [] : [first];
}

/**
 * Which words are looked at: the one under the cursor, else those chosen
 * @param {State} state
 */
export function wordsOf({ touched, words }) {
  return touched === null || touched === undefined ? words : [touched];
}

/**
 * Whether these are words of the text, not start, end or padding
 * @param {TextInfo} read
 * @param {WordId[]} ids
 */
export const areOfText = (read, ids) =>
  ids.length > 0 && ids.every((id) => typeof id === "number" && id in read.words);

/**
 * Words that name segments: those chosen, else all that may stand for a thing
 * @param {TraceInfo} info
 * @param {State} state
 */
export function namesOf(info, state) {
  const read = textOf(info, state);
  return state.names ?? contentWords(read).filter((number) => !COLOURS.has(lower(read, number)));
}

/**
 * @param {TextInfo} read
 * @param {number} number
 */
const lower = (read, number) => read.words[number].text.toLowerCase();
