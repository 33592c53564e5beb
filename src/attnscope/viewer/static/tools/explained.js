// Was this word ignored? What the library's explain says of the chosen words, and which words were not drawn.

import { useAnswer } from "attnscope/asking";
import { language, t } from "attnscope/lang";
import { percent } from "attnscope/maps";
import { html, useEffect } from "attnscope/preact";
import { languageOfError } from "attnscope/refused";
import * as source from "attnscope/source";
import { set } from "attnscope/state";

/** @import { Question } from "attnscope/asking" */
/** @import { WordId } from "attnscope/fields" */
/** @import { State } from "attnscope/state" */
/** @import { Answer, ExplainedInfo, Fitted, TraceInfo, WordVerdict } from "attnscope/types" */

const MOST_WORDS = 8; // as the server takes

/**
 * What became of the words of each text, as far as it was asked
 * @type {Map<string, WordVerdict[]>}
 */
const known = new Map();

/**
 * @param {TraceInfo} info
 * @param {Pick<State, "branch" | "image">} state
 */
const textKey = (info, { branch, image }) => JSON.stringify([info.number, branch, image]);

/**
 * Keeps what is known, so that the prompt's words show it
 * @param {TraceInfo} info
 * @param {Pick<State, "branch" | "image">} state
 * @param {WordVerdict[]} words
 */
export const remember = (info, state, words) => known.set(textKey(info, state), words);

/**
 * What is known of a word of the prompt, null for nothing
 * @param {TraceInfo} info
 * @param {Pick<State, "branch" | "image">} state
 * @param {WordId} id
 */
export const saysOf = (info, state, id) =>
  known.get(textKey(info, state))?.find((verdict) => verdict.word === id)?.says ?? null;

/**
 * The chosen words of the text, as the server counts them
 * @param {State} state
 */
const chosenOf = ({ words }) =>
  words.filter((id) => typeof id === "number").sort((one, other) => one - other).slice(0, MOST_WORDS);

/**
 * @param {TraceInfo} info
 * @param {Fitted} state
 * @returns {Question<ExplainedInfo> | undefined}
 */
export function explainQuestion(info, state) {
  const word = chosenOf(state);
  if (!source.LIVE || !state.why || !word.length) return undefined;
  const { branch, image } = state;
  const asked = { branch, image, word, lang: language() };
  return {
    key: JSON.stringify([info.number, "explained", asked]),
    group: JSON.stringify([info.number, "explained", branch, image]),
    ask: async (signal, told) => {
      await source.waited(source.at(info.number, "explanation", { branch, image }), told, signal);
      return (await source.fetched(source.at(info.number, "explained", asked))).json();
    },
  };
}

/** @param {{ info: TraceInfo, state: Fitted }} props */
export function Explained({ info, state }) {
  const answer = useAnswer(explainQuestion(info, state));
  const found = answer.value;
  useEffect(() => {
    if (!found) return;
    remember(info, state, found.words);
    set({}); // the prompt shows it
  }, [found]);
  if (!source.LIVE || !chosenOf(state).length) return null;
  return html`<div class="explained">
    <button aria-expanded=${state.why} onClick=${() => set({ why: !state.why })}>
      ${chosenOf(state).length > 1 ? t("Were these words ignored?") : t("Was this word ignored?")}
    </button>
    ${state.why && html`<${Waiting} answer=${answer} />`}
    ${state.why && found && html`<${Told} found=${found} asked=${chosenOf(state)} />`}
  </div>`;
}

/**
 * How far it is, or why there is nothing
 * @param {{ answer: Answer<ExplainedInfo> }} props
 */
function Waiting({ answer }) {
  if (answer.error?.name === "AbortError") {
    return html`<p class="quiet">
      ${t("Stopped.")} <button onClick=${answer.again}>${t("Go on")}</button>
    </p>`;
  }
  if (answer.error) {
    return html`<p role="alert" lang=${languageOfError(answer.error)}>${answer.error.message}</p>`;
  }
  if (!answer.busy) return null;
  const { done, total } = answer.progress ?? { done: 0, total: 0 };
  return html`<p class="quiet" role="status">
    ${t("Reading all of its attention …")}
    ${
      total > 1 &&
      html`<progress value=${done} max=${total} aria-label=${t("reading attention")}></progress>
        <button onClick=${answer.stop}>${t("Cancel")}</button>`
    }
  </p>`;
}

/** @param {{ found: ExplainedInfo, asked: number[] }} props */
function Told({ found, asked }) {
  const lost = found.words.filter((verdict) => verdict.word === null);
  return html`<p class="quiet">${t("Over all blocks, heads and steps.")}</p>
    ${found.sentences.map(
      (sentences, at) =>
        html`<${Word} sentences=${sentences} verdict=${verdictOf(found, asked[at])} key=${asked[at]} />`,
    )}
    ${
      lost.length > 0 &&
      html`<p class="quiet">
        ${t("Not read, as the text was cut off: {words}", { words: lost.map(({ text }) => text).join(", ") })}
      </p>`
    }
    <details>
      <summary>${t("What the attention went to")}</summary>
      ${found.run.map((sentence) => html`<p>${sentence}</p>`)}
    </details>
    ${found.limits.map((sentence) => html`<p class="quiet limit">${sentence}</p>`)}`;
}

/**
 * @param {ExplainedInfo} found
 * @param {number} word
 */
const verdictOf = (found, word) => found.words.find((verdict) => verdict.word === word) ?? null;

/** @param {{ sentences: string[], verdict: WordVerdict | null }} props */
function Word({ sentences, verdict }) {
  if (!verdict) return null;
  const [first, ...others] = sentences;
  const { says, share, peak, leads, where } = verdict;
  return html`<article data-word=${verdict.word} data-says=${says}>
    <h3>
      <span translate=${false}>${verdict.text}</span> <span class="verdict">${verdict.verdict}</span>
    </h3>
    <p><b>${first}</b></p>
    ${
      share !== null &&
      peak !== null &&
      leads !== null &&
      html`<dl class="numbers">
        <dt>${t("share")}</dt>
        <dd data-number="word-share">${percent(share)} <small>${t("of the picture's attention")}</small></dd>
        <dt>${t("largest")}</dt>
        <dd data-number="word-peak">${percent(peak)} <small>${where}</small></dd>
        <dt>${t("leads")}</dt>
        <dd data-number="word-leads">${percent(leads)} <small>${t("of the picture")}</small></dd>
      </dl>`
    }
    ${others.map((sentence) => html`<p>${sentence}</p>`)}
  </article>`;
}
