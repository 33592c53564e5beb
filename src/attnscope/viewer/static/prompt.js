// The words of the prompt, above the picture.

import { t } from "attnscope/lang";
import { percent } from "attnscope/maps";
import { html } from "attnscope/preact";
import { set } from "attnscope/state";
import { saysOf } from "attnscope/tools/explained";
import { choosable, namesOf, textOf } from "attnscope/words";

/** @import { WordId } from "attnscope/fields" */
/** @import { ChoosableWord, Fitted, TextInfo, TraceInfo } from "attnscope/types" */

/**
 * Bars say what the place under the cursor takes from each word; a click looks at the word, or lets it name
 * segments. shares: of each token
 * @param {{ info: TraceInfo, state: Fitted, shares: ArrayLike<number> | null }} props
 */
export function PromptBar({ info, state, shares }) {
  const all = choosable(textOf(info, state));
  const words = all.filter((word) => state.mode !== "segments" || word.role === "text");
  const sums = shares && words.map((word) => shareOf(word, shares));
  const most = sums && Math.max(...sums.filter((_, at) => words[at].role === "text"), 1e-9);
  /** @type {WordId[] | null} */
  const names = state.mode === "segments" ? namesOf(info, state) : null;
  /** @param {WordId} id */
  const pressed = (id) => (names ? names.includes(id) : state.mode === "words" && state.words.includes(id));
  /** @param {WordId} id */
  const isMissing = (id) => saysOf(info, state, id) === "not drawn";
  return html`<nav class="prompt" aria-label="Words of the prompt">
    ${words.length === 0 && html`<span class="quiet">${wordless(textOf(info, state))}</span>`}
    ${words.map(
      (word, at) =>
        html`<button
          key=${word.id}
          class=${`word ${word.role}${isMissing(word.id) ? " not-drawn" : ""}`}
          data-word=${word.id}
          aria-pressed=${pressed(word.id)}
          title=${`${titleOf(word, sums && sums[at])}${isMissing(word.id) ? t("; not drawn, it seems") : ""}`}
          onClick=${() => choose(word, info, state)}
          onPointerEnter=${() => state.mode === "words" && set({ touched: word.id })}
          onPointerLeave=${() => set({ touched: null })}
        >
          ${word.text}${sums && most && html`<i style=${{ width: barWidth(sums[at], most) }}></i>`}
        </button>`,
    )}
  </nav>`;
}

/**
 * What a place takes from a word
 * @param {ChoosableWord} word
 * @param {ArrayLike<number>} shares of each token
 */
export const shareOf = (word, shares) => word.tokens.reduce((sum, token) => sum + shares[token], 0);

/**
 * @param {number} share
 * @param {number} most
 */
const barWidth = (share, most) => `${Math.min((100 * share) / most, 100)}%`;

/** @param {TextInfo} read */
const wordless = (read) =>
  read.text
    ? "The words of this branch's text are unknown: its tokens have no names."
    : "This branch reads no words that are known: its text is empty, or the run got embeddings.";

/**
 * @param {ChoosableWord} word
 * @param {number | null} share
 */
function titleOf({ tokens }, share) {
  const which = tokens.length > 3 ? `${tokens[0]} to ${tokens.at(-1)}` : tokens.join(", ");
  return `token ${which}${share === null ? "" : `: ${percent(share)} of this place's attention`}`;
}

/**
 * @param {ChoosableWord} word
 * @param {TraceInfo} info
 * @param {Fitted} state
 */
function choose({ id }, info, state) {
  if (state.mode === "segments" && typeof id === "number") {
    return set({ names: turned(namesOf(info, state), id) });
  }
  return set((now) => ({
    mode: "words",
    words: now.mode === "places" ? [id] : turned(now.words, id),
    touched: null,
  }));
}

/**
 * The list without the one, or with it at its end
 * @template V
 * @param {V[]} list
 * @param {V} one
 */
export const turned = (list, one) =>
  list.includes(one) ? list.filter((other) => other !== one) : [...list, one];
