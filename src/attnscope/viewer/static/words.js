// The words of a prompt: which can be chosen, which stand for a thing, which tokens are theirs.

/** @import { WordId } from "attnscope/fields" */
/** @import { State } from "attnscope/state" */
/** @import { ChoosableWord, ImageInfo, TokenInfo, TraceInfo } from "attnscope/types" */

const FILLERS = new Set(
  (
    "a an the and or of in on at to with under over by for from is are was " +
    "front picture photo drawing there this that"
  ).split(" "),
);

const COLOURS = new Set("red orange yellow green blue purple pink white black grey gray brown".split(" "));

/**
 * Words as they can be chosen: those of the prompt by number, then start, end and padding where there are.
 * The negative branch reads another prompt, whose tokens a trace does not hold: it has none.
 * @param {ImageInfo} image
 * @param {string} branch
 */
export function choosable(image, branch) {
  if (branch === "uncond") return [];
  /** @type {ChoosableWord[]} */
  const words = image.words.map(({ text, tokens }, id) => ({ id, text, tokens, role: "text" }));
  for (const [role, tokens] of roleTokens(image)) words.push({ id: role, text: role, tokens, role });
  return words;
}

/** @type {TokenInfo["role"][]} */
const ROLES = ["start", "end", "padding"];

/**
 * The tokens around the words, by role; a role that no token has is left out
 * @param {ImageInfo} image
 * @returns {[TokenInfo["role"], number[]][]}
 */
export function roleTokens(image) {
  /** @param {TokenInfo["role"]} role */
  const tokens = (role) => image.tokens.filter((token) => token.role === role).map((token) => token.index);
  return ROLES.map((role) => /** @type {[TokenInfo["role"], number[]]} */ ([role, tokens(role)])).filter(
    ([, found]) => found.length,
  );
}

/**
 * @param {ImageInfo} image
 * @param {State} state
 * @param {WordId[]} ids
 */
export function tokensOf(image, state, ids) {
  return choosable(image, state.branch)
    .filter((word) => ids.includes(word.id))
    .flatMap((word) => word.tokens);
}

/**
 * Numbers of the words that are more than articles, prepositions and the like
 * @param {ImageInfo} image
 */
export function contentWords(image) {
  const numbers = image.words.map((_, number) => number);
  return numbers.filter((number) => !FILLERS.has(lower(image, number)));
}

/**
 * What to show first: a word that is more than a colour
 * @param {ImageInfo} image
 */
export function firstWords(image) {
  const words = contentWords(image);
  const first = words.find((number) => !COLOURS.has(lower(image, number))) ?? words[0];
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
 * Words that name segments: those chosen, else all that may stand for a thing
 * @param {TraceInfo} info
 * @param {State} state
 */
export function namesOf(info, state) {
  if (state.branch === "uncond") return [];
  const image = info.images[state.image];
  return state.names ?? contentWords(image).filter((number) => !COLOURS.has(lower(image, number)));
}

/**
 * @param {ImageInfo} image
 * @param {number} number
 */
const lower = (image, number) => image.words[number].text.toLowerCase();
