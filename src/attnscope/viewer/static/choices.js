// Which attention: block, head, step, branch, image.

import { Select } from "attnscope/controls";
import { t } from "attnscope/lang";
import { headsOf, kindOf, layersOf, stageName } from "attnscope/look";
import { modeOf } from "attnscope/modes";
import { html, useEffect, useState } from "attnscope/preact";
import * as source from "attnscope/source";
import { set } from "attnscope/state";
import { firstWords, textOf } from "attnscope/words";

/** @import { State } from "attnscope/state" */
/** @import { Fitted, TraceInfo } from "attnscope/types" */

/** @param {number} count */
const range = (count) => Array.from({ length: count }, (_, number) => number);

/**
 * busy: whether an answer is awaited
 * @param {{ info: TraceInfo, state: Fitted, busy: boolean }} props
 */
export function Choices({ info, state, busy }) {
  return html`<section aria-label=${t("Which attention")}>
    ${modeOf(state.mode).maps && source.LIVE && blockAndHead(info, state)}
    ${hasSteps(info, state) && html`<${Steps} info=${info} state=${state} busy=${busy} />`}
    ${aboutSteps(info)}
    ${
      info.branches.length > 1 &&
      html`<${Select}
        label=${t("Branch")}
        value=${state.branch}
        change=${(/** @type {string} */ branch) => set(branchTurn(info, state, branch))}
        options=${info.branches.map((branch) => [branch, branch, true])}
        title=${t("of guidance: cond reads the prompt, uncond the negative prompt")}
      />`
    }
    ${
      info.images.length > 1 &&
      html`<${Select}
        label=${t("Image")}
        value=${state.image}
        change=${(/** @type {number} */ image) => set(imageTurn(info, state, image))}
        options=${range(info.images.length).map((image) => [image, t("image {image}", { image })])}
      />`
    }
  </section>`;
}

/**
 * An exported page has segments of the mean alone
 * @param {TraceInfo} info
 * @param {Fitted} state
 */
const hasSteps = (info, state) => source.LIVE || (info.steps.length > 1 && state.mode !== "segments");

/** @param {TraceInfo} info */
function aboutSteps(info) {
  const about = source.stepCount(info) > 1 && source.aboutSteps();
  return about && html`<p class="quiet">${about}</p>`;
}

/**
 * @param {TraceInfo} info
 * @param {Fitted} state
 */
function blockAndHead(info, state) {
  const blocks = layersOf(info, kindOf(state)).map((layer) => [
    layer.block,
    `${layer.block} · ${stageName(layer.stage)} · ${layer.grid.join("×")}`,
  ]);
  const heads = range(headsOf(info, state)).map((head) => [head, t("head {value}", { value: head })]);
  const all = [null, t("all, mean")];
  return html` <${Select}
      label=${t("Block")}
      value=${state.block}
      change=${(/** @type {number | null} */ block) => set({ block })}
      title=${t("keys {keys}", { keys: "[ ]" })}
      options=${[all, ...blocks]}
    />
    <${Select}
      label=${t("Head")}
      value=${state.head}
      change=${(/** @type {number | null} */ head) => set({ head })}
      title=${t("key {key}", { key: "h" })}
      options=${[all, ...heads]}
    />`;
}

/**
 * Words stay where both images have one prompt
 * @param {TraceInfo} info
 * @param {State} state
 * @param {number} image
 * @returns {Partial<State>}
 */
export function imageTurn(info, state, image) {
  return { image, cursor: null, ...wordsTurn(info, state, { ...state, image }) };
}

/**
 * Words stay where both branches read one text
 * @param {TraceInfo} info
 * @param {State} state
 * @param {string} branch
 * @returns {Partial<State>}
 */
export const branchTurn = (info, state, branch) => ({
  branch,
  ...wordsTurn(info, state, { ...state, branch }),
});

/**
 * @param {TraceInfo} info
 * @param {State} state
 * @param {State} next
 * @returns {Partial<State>}
 */
function wordsTurn(info, state, next) {
  const [from, to] = [textOf(info, state), textOf(info, next)];
  return from.text === to.text
    ? {}
    : { words: firstWords(to), names: null, otherWords: null, otherNames: null };
}

const PLAY_MS = 450;

/**
 * Playing waits for each step's map
 * @param {{ info: TraceInfo, state: Fitted, busy: boolean }} props
 */
function Steps({ info, state, busy }) {
  const { steps } = info;
  const position = steps.findIndex((step) => step.index === state.step);
  const [playing, play] = useState(false);
  useEffect(() => {
    if (!playing || busy) return undefined;
    const timer = setTimeout(() => set({ step: steps[(position + 1) % steps.length].index }), PLAY_MS);
    return () => clearTimeout(timer);
  }, [playing, busy, state.step]);
  /** @param {number | null} step */
  const choose = (step) => {
    play(false);
    set({ step });
  };
  /** @param {{ target: HTMLInputElement }} event */
  const take = ({ target }) => choose(steps[Number(target.value)]?.index ?? null);
  const shown = stepText(info, state);
  return html`<div class="field" title=${t("keys {keys}", { keys: ", ." })}>
    <span id="step-name">${t("Step")}</span>
    <div class="steps">
      <button aria-pressed=${state.step === null} onClick=${() => choose(null)}>${t("mean")}</button>
      ${
        modeOf(state.mode).maps &&
        html`<button
          aria-label=${playing ? t("pause") : t("play the steps")}
          aria-pressed=${playing}
          disabled=${steps.length === 1}
          onClick=${() => play(!playing)}
        >
          ${playing ? "❚❚" : "▶"}
        </button>`
      }
      <input
        type="range"
        min="-1"
        max=${steps.length - 1}
        value=${position}
        aria-labelledby="step-name"
        aria-valuetext=${shown}
        disabled=${steps.length === 1}
        onInput=${take}
      />
      <output>${shown}</output>
    </div>
  </div>`;
}

/**
 * @param {TraceInfo} info
 * @param {State} state
 */
function stepText(info, state) {
  const step = info.steps.find(({ index }) => index === state.step);
  if (!step) return t("all {count}, mean", { count: source.stepCount(info) });
  return t("step {index} · t = {timestep}", { index: step.index, timestep: Math.round(step.timestep) });
}
