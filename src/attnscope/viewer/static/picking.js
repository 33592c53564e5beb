// What choosing a word does: in Words the words that are looked at, in Segments those that may name them.

import { sameId, sameWord } from "attnscope/beside";
import { namesOf, textOf } from "attnscope/words";

/** @import { WordId } from "attnscope/fields" */
/** @import { State } from "attnscope/state" */
/** @import { Fitted, TraceInfo } from "attnscope/types" */

/** @typedef {{ info: TraceInfo, state: Fitted }} Side a trace, and its own words */

/**
 * A word of the first trace: it alone, or with `add` one more or one less. The second shows the same words.
 * @param {State} now
 * @param {WordId} id
 * @param {boolean} add
 * @returns {Partial<State>}
 */
export function picked(now, id, add) {
  const words = add && now.mode === "words" ? turned(now.words, id) : [id];
  return { mode: "words", words, otherWords: null, touched: null, touchedOther: null };
}

/**
 * A word of the second trace: the same in the first, where it has it, else the second's own
 * @param {State} now
 * @param {WordId} id
 * @param {boolean} add
 * @param {Side} first
 * @param {Side} second
 * @returns {Partial<State>}
 */
export function pickedBeside(now, id, add, first, second) {
  const same = sameId(textOf(second.info, second.state), textOf(first.info, first.state), id);
  if (same !== null && (!add || now.otherWords === null)) return picked(now, same, add);
  const otherWords = add && now.mode === "words" ? turned(second.state.words, id) : [id];
  return { mode: "words", otherWords, touched: null, touchedOther: null };
}

/**
 * A word that may name segments, or not any more: in both traces, where both have it
 * @param {number} id of the word in the side that is meant
 * @param {Side} own
 * @param {Side | null} other
 * @returns {{ own: number[], other: number[] | null }} the names of both
 */
export function named(id, own, other) {
  const names = namesOf(own.info, own.state);
  const on = !names.includes(id);
  if (!other) return { own: turned(names, id), other: null };
  const same = sameWord(textOf(own.info, own.state), textOf(other.info, other.state), id);
  const others = namesOf(other.info, other.state);
  const changes = same !== null && others.includes(same) !== on;
  return { own: turned(names, id), other: changes ? turned(others, same) : others };
}

/**
 * The list without the one, or with it at its end
 * @template V
 * @param {V[]} list
 * @param {V} one
 */
export const turned = (list, one) =>
  list.includes(one) ? list.filter((other) => other !== one) : [...list, one];
