// The page's text in the reader's language. What stands in the code is English; text/ has the others.

import { channel } from "attnscope/channel";
import { JAPANESE } from "attnscope/text/ja";

/** @typedef {"en" | "ja"} Language */

/** @type {Record<Language, Record<string, string>>} */
const TEXTS = { en: {}, ja: JAPANESE };

/** @type {[Language, string][]} */
export const LANGUAGES = [
  ["en", "English"],
  ["ja", "日本語"],
];

const { tell, useNews } = channel();
/** @type {Language} */
let current = "en";

/**
 * The language of `?lang=`, else the browser's, else English
 * @param {string} search of the page's address
 * @param {readonly string[]} preferred by the browser, first the best
 * @returns {Language}
 */
export function languageOf(search, preferred) {
  const asked = new URLSearchParams(search).get("lang");
  const known = [asked, ...preferred].map((tag) => tag?.toLowerCase().split("-")[0]);
  const first = known.find((tag) => tag !== undefined && Object.hasOwn(TEXTS, tag));
  return /** @type {Language} */ (first ?? "en");
}

export const language = () => current;

/** @param {Language} next */
export function speak(next) {
  current = next;
  if (typeof document !== "undefined") document.documentElement.lang = next;
  tell();
}

/**
 * What the reader chooses stands in the address from then on
 * @param {Language} next
 */
export function choose(next) {
  const address = new URL(location.href);
  address.searchParams.set("lang", next);
  history.replaceState(null, "", address);
  speak(next);
}

/** Draws a component anew in another language */
export function useLanguage() {
  useNews();
  return current;
}

/**
 * A text of the page. English without a translation stays English.
 * @param {string} text in English, {name} for what is filled in
 * @param {Record<string, string | number>} [values]
 */
export const t = (text, values = {}) => rich(text, values).join("");

/**
 * A text with elements in it, as a list of its pieces
 * @param {string} text in English, {name} for what is filled in
 * @param {Record<string, unknown>} values text or elements
 */
export function rich(text, values) {
  const pieces = (TEXTS[current][text] ?? text).split(/\{(\w+)\}/);
  return pieces.map((piece, at) => (at % 2 ? (values[piece] ?? `{${piece}}`) : piece));
}

/**
 * A text that stands in a table and that t() says later
 * @param {string} text in English
 */
export const later = (text) => text;

/**
 * Several in a row
 * @param {string[]} texts in the page's language
 */
export const listed = (texts) => texts.join(current === "ja" ? "、" : ", ");
