// The words of the prompts, above the pictures.

import { t } from "attnscope/lang";
import { percent } from "attnscope/maps";
import { nameOf } from "attnscope/naming";
import { named, picked, pickedBeside } from "attnscope/picking";
import { html } from "attnscope/preact";
import { get, set } from "attnscope/state";
import { Toolbar } from "attnscope/toolbar";
import { saysOf } from "attnscope/tools/explained";
import { choosable, namesOf, textOf } from "attnscope/words";

/** @import { WordId } from "attnscope/fields" */
/** @import { Side } from "attnscope/picking" */
/** @import { ChoosableWord, Fitted, TextInfo, TraceInfo } from "attnscope/types" */

/** @typedef {Side & { shares: ArrayLike<number> | null }} Row words of one trace; shares: of each token */
/** @typedef {{ pick(id: WordId, add: boolean): void, touch(id: WordId | null): void }} Acts */

/**
 * The words of one trace, or of two that stand beside each other
 * @param {{ first: Row, second: Row | null }} props
 */
export function PromptBar({ first, second }) {
  return html`<nav class="prompt" aria-label=${t("Words of the prompt")}>
    ${row(first, actsOfFirst(first, second), second && t("first trace"))}
    ${second && row(second, actsOfSecond(first, second), t("second trace"))}
    ${first.state.mode === "words" && html`<${Adding} state=${first.state} />`}
  </nav>`;
}

/** What a keyboard does with Shift, for fingers. @param {{ state: Fitted }} props */
function Adding({ state }) {
  return html`<button
    class="adding"
    aria-pressed=${state.adding === true}
    title=${t("a tap adds a word or takes it away")}
    onClick=${() => set({ adding: !state.adding })}
  >
    ${t("+ several")}
  </button>`;
}

/**
 * @param {Row} first
 * @param {Row | null} second
 * @returns {Acts}
 */
const actsOfFirst = (first, second) => ({
  pick(id, add) {
    if (first.state.mode !== "segments") return set(picked(get(), id, add));
    const names = named(Number(id), first, second);
    return set({ names: names.own, otherNames: names.other });
  },
  touch: (touched) => set({ touched, touchedOther: null }),
});

/**
 * @param {Row} first
 * @param {Row} second
 * @returns {Acts}
 */
const actsOfSecond = (first, second) => ({
  pick(id, add) {
    if (first.state.mode !== "segments") return set(pickedBeside(get(), id, add, first, second));
    const names = named(Number(id), second, first);
    return set({ names: names.other, otherNames: names.own });
  },
  touch: (touchedOther) => set({ touched: null, touchedOther }),
});

/**
 * Bars say what the place under the cursor takes from each word; a click looks at the word, or lets it name
 * segments.
 * @param {Row} shown
 * @param {Acts} acts
 * @param {string | null} which of two traces
 */
function row({ info, state, shares }, acts, which) {
  const read = textOf(info, state);
  const words = choosable(read).filter((word) => state.mode !== "segments" || word.role === "text");
  const sums = shares && words.map((word) => shareOf(word, shares));
  const most = sums && Math.max(...sums.filter((_, at) => words[at].role === "text"), 1e-9);
  /** @param {WordId} id */
  const isMissing = (id) => saysOf(info, state, id) === "not drawn";
  const label = which ? t("Words of {trace}", { trace: which }) : t("Words of the prompt");
  return html`<${Toolbar} class="words" label=${label}>
    ${which && html`<span class="quiet" translate=${false} title=${which}>${nameOf(info)}</span>`}
    ${words.length === 0 && html`<span class="quiet">${wordless(read)}</span>`}
    ${words.map(
      (word, at) =>
        html`<button
          key=${word.id}
          class=${`word ${word.role}${isMissing(word.id) ? " not-drawn" : ""}`}
          translate=${word.role !== "text"}
          data-word=${word.id}
          aria-pressed=${isPressed(word.id, info, state)}
          title=${`${titleOf(word, sums && sums[at])}${isMissing(word.id) ? t("; not drawn, it seems") : ""}`}
          onMouseDown=${keepSelection}
          onClick=${(/** @type {MouseEvent} */ event) =>
            acts.pick(word.id, event.shiftKey || state.adding === true)}
          onKeyDown=${(/** @type {KeyboardEvent} */ event) =>
            shiftEnter(event, () => acts.pick(word.id, true))}
          onPointerEnter=${(/** @type {PointerEvent} */ event) =>
            state.mode === "words" && event.pointerType !== "touch" && acts.touch(word.id)}
          onPointerLeave=${() => acts.touch(null)}
        >
          ${word.text}${sums && most && html`<i style=${{ width: barWidth(sums[at], most) }}></i>`}
        </button>`,
    )}
  <//>`;
}

/** Shift with a click would select text. @param {MouseEvent} event */
const keepSelection = (event) => event.shiftKey && event.preventDefault();

/**
 * Browsers differ in whether they tell of Shift in the click that follows
 * @param {KeyboardEvent} event
 * @param {() => void} act
 */
function shiftEnter(event, act) {
  if (event.key !== "Enter" || !event.shiftKey) return;
  event.preventDefault();
  act();
}

/**
 * @param {WordId} id
 * @param {TraceInfo} info
 * @param {Fitted} state
 */
function isPressed(id, info, state) {
  if (state.mode === "segments") return typeof id === "number" && namesOf(info, state).includes(id);
  return state.mode === "words" && state.words.includes(id);
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
    ? t("The words of this branch's text are unknown: its tokens have no names.")
    : t("This branch reads no words that are known: its text is empty, or the run got embeddings.");

/**
 * @param {ChoosableWord} word
 * @param {number | null} share
 */
function titleOf({ tokens }, share) {
  const ends = { low: tokens[0], high: tokens[tokens.length - 1] };
  const which = tokens.length > 3 ? t("{low} to {high}", ends) : tokens.join(", ");
  if (share === null) return t("token {which}", { which });
  return t("token {which}: {share} of this place's attention", { which, share: percent(share) });
}
