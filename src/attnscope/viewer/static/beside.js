// Two traces side by side: one question, words of the same text, one scale.

import { fitted } from "attnscope/fitted";
import { listed, t } from "attnscope/lang";
import { textOf, wordsOf } from "attnscope/words";

/** @import { WordId } from "attnscope/fields" */
/** @import { Fitted, TextInfo, Look, TraceInfo } from "attnscope/types" */

/**
 * The same question to a second trace: its words are those of the same text, or its own
 * @param {TraceInfo} info
 * @param {TraceInfo} other
 * @param {Fitted} own
 * @returns {Fitted}
 */
export function besideOf(info, other, own) {
  const { otherWords, otherNames } = own;
  const asked = { ...own, words: otherWords ?? [], names: otherNames, step: own.step ?? other.step };
  const fit = fitted(other, asked);
  const [from, to] = [textOf(info, own), textOf(other, fit)];
  const touched = own.touched ?? null;
  const follows = otherWords === null || touched !== null;
  return {
    ...fit,
    words: otherWords ? fit.words : present(own.words.map((id) => sameId(from, to, id))),
    names: otherNames ? fit.names : own.names && present(own.names.map((id) => sameWord(from, to, id))),
    touched: own.touchedOther ?? (touched === null ? null : sameId(from, to, touched)),
    missing: own.mode === "words" && follows ? missing(from, to, wordsOf(own)) : null,
  };
}

/**
 * @template V
 * @param {(V | null)[]} values
 */
const present = (values) => /** @type {V[]} */ (values.filter((value) => value !== null));

/**
 * Start, end and padding are the same in every prompt.
 * @param {TextInfo} from
 * @param {TextInfo} to
 * @param {WordId} id
 */
export const sameId = (from, to, id) => (typeof id === "number" ? sameWord(from, to, id) : id);

/**
 * @param {TextInfo} from
 * @param {TextInfo} to
 * @param {WordId[]} ids
 */
function missing(from, to, ids) {
  const numbers = ids.filter((id) => typeof id === "number");
  const absent = numbers.filter((id) => sameWord(from, to, id) === null);
  const texts = absent.map((id) => t("“{text}”", { text: from.words[id].text }));
  return texts.length ? t("This prompt does not hold {words}.", { words: listed(texts) }) : null;
}

/**
 * The number of the word's namesake: the second of the second, where there are two, else the first
 * @param {TextInfo} from
 * @param {TextInfo} to
 * @param {number} number
 */
export function sameWord(from, to, number) {
  /** @param {TextInfo} read */
  const namesakes = (read) =>
    read.words.flatMap((word, at) =>
      word.text.toLowerCase() === from.words[number].text.toLowerCase() ? [at] : [],
    );
  const places = namesakes(to);
  return places[namesakes(from).indexOf(number)] ?? places[0] ?? null;
}

/**
 * The brightest value of all maps that are there
 * @param {...Look} looks
 */
export function commonTop(...looks) {
  const tops = looks.flatMap((look) => look.shown.value?.maximum ?? []);
  return tops.length ? Math.max(...tops) : null;
}
