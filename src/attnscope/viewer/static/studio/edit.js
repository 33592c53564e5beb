// Editing: weights of words, regions for them, heads and blocks switched off, a layout that is kept.

import { t } from "attnscope/lang";
import { headsOf, layersOf } from "attnscope/look";
import { html, useState } from "attnscope/preact";
import { set } from "attnscope/state";
import { isSame, sameWords, withEdit, withoutEdit } from "attnscope/studio/draft";
import { Regions } from "attnscope/studio/regions";
import { runOf, runOfTrace, studioNow, useStudio } from "attnscope/studio/news";
import * as studio from "attnscope/studio/source";
import { textOf } from "attnscope/words";

/** @import { Ablate, Edit, Layout, Reweight, RunInfo, Words } from "attnscope/studio/types" */
/** @import { Fitted, TraceInfo } from "attnscope/types" */

const MOST_FACTOR = 4;

/** @param {{ info: TraceInfo, state: Fitted }} props */
export function EditPanel({ info, state }) {
  useStudio();
  const run = runLooked(info, state);
  if (!run?.asked) {
    return html`<section>
      <h2>${t("Edit")}</h2>
      <p class="quiet">${t("Only pictures that were made here can be edited: type a prompt above.")}</p>
    </section>`;
  }
  const words = wordsToEdit(info, state, run);
  return html`<section>
      <h2>${t("Words")}</h2>
      <p class="quiet">
        ${t("How strongly each word is read: 0 mutes it, 1 leaves it, 4 is four times as much.")}
      </p>
      ${words.map((word) => html`<${Weight} key=${word.key} word=${word} edits=${state.edits} />`)}
    </section>
    <${Regions} words=${words} state=${state} />
    <${Heads} info=${info} state=${state} />
    <${Keep} state=${state} run=${run} />
    <${Summary} state=${state} run=${run} />`;
}

/**
 * The run that is looked at, which has a prompt
 * @param {TraceInfo} info
 * @param {Fitted} state
 */
const runLooked = (info, state) => {
  const now = studioNow();
  return runOfTrace(now, info.number) ?? runOf(now, state.run);
};

/**
 * The words that can be edited; none outside of the mode
 * @param {TraceInfo} info
 * @param {Fitted} state
 */
export function editWords(info, state) {
  const run = state.mode === "edit" ? runLooked(info, state) : null;
  return run?.asked ? wordsToEdit(info, state, run) : [];
}

/** @typedef {{ key: string, text: string, words: Words }} EditWord */

/**
 * The words of the prompt as it stands in the form; by their tokens where one comes twice in the run's own
 * @param {TraceInfo} info
 * @param {Fitted} state
 * @param {RunInfo} run
 * @returns {EditWord[]}
 */
export function wordsToEdit(info, state, run) {
  const read = textOf(info, { ...state, branch: "cond" });
  if (state.prompt === run.asked?.prompt && read.words.length) {
    const texts = read.words.map(({ text }) => text.toLowerCase());
    return read.words.map(({ text, tokens }, at) => {
      const isOnly = texts.filter((other) => other === texts[at]).length === 1;
      return { key: String(at), text, words: isOnly ? text : tokens };
    });
  }
  const plain = state.prompt.match(/[\p{L}\p{N}'-]+/gu) ?? [];
  return [...new Set(plain)].map((text) => ({ key: text, text, words: text }));
}

/** @param {{ word: EditWord, edits: Edit[] }} props */
function Weight({ word, edits }) {
  const edit = /** @type {Reweight | undefined} */ (
    edits.find((one) => one.edit === "reweight" && sameWords(one.words, word.words))
  );
  const factor = edit?.factor ?? 1;
  /** @param {number} next */
  const weigh = (next) => {
    /** @type {Reweight} */
    const one = { edit: "reweight", words: word.words, factor: next };
    set((now) => ({ edits: next === 1 ? withoutEdit(now.edits, one) : withEdit(now.edits, one) }));
  };
  /** @param {{ target: HTMLInputElement }} event */
  const take = ({ target }) => weigh(Number(target.value));
  return html`<label class="field weight" data-word=${word.text}
    ><span translate=${false}>${word.text}</span>
    <div class="steps">
      <input
        type="range"
        min="0"
        max=${MOST_FACTOR}
        step="0.1"
        value=${factor}
        aria-label=${t("weight of {word}", { word: word.text })}
        aria-valuetext=${factorText(factor)}
        onInput=${take}
      />
      <output>${factorText(factor)}</output>
      <button type="button" disabled=${!edit} aria-label=${t("leave {word} as it is", { word: word.text })}
        onClick=${() => weigh(1)}>↺</button>
    </div></label
  >`;
}

/** @param {number} factor */
const factorText = (factor) => (factor === 0 ? t("mute") : `×${factor.toFixed(1)}`);

/** @param {{ info: TraceInfo, state: Fitted }} props */
function Heads({ info, state }) {
  const off = /** @type {Ablate[]} */ (state.edits.filter((edit) => edit.edit === "ablate"));
  const kinds = /** @type {("self" | "cross")[]} */ (["self", "cross"]).filter((kind) =>
    layersOf(info, kind).some((layer) => layer.block === state.block),
  );
  return html`<section>
    <h2>${t("Heads and blocks")}</h2>
    <p class="quiet">
      ${
        state.block === null
          ? t("Choose a block of the model on the left, and a head below the picture, to switch them off.")
          : t("Block {block} is chosen.", { block: state.block })
      }
    </p>
    ${kinds.map((kind) => html`<${Switch} kind=${kind} info=${info} state=${state} off=${off} />`)}
    <ul class="edits">
      ${off.map(
        (edit) =>
          html`<li>
            ${ablateText(edit)}
            <button
              class="bare"
              aria-label=${t("switch on again: {what}", { what: ablateText(edit) })}
              onClick=${() => set((now) => ({ edits: withoutEdit(now.edits, edit) }))}
            >
              ✕
            </button>
          </li>`,
      )}
    </ul>
  </section>`;
}

/** @param {{ kind: "self" | "cross", info: TraceInfo, state: Fitted, off: Ablate[] }} props */
function Switch({ kind, info, state, off }) {
  if (state.block === null) return null;
  const head = state.head !== null && state.head < headsOf(info, state) ? state.head : null;
  /** @type {Ablate} */
  const edit = { edit: "ablate", block: state.block, kind, head };
  const isOff = off.some((one) => isSame(one, edit));
  return html`<button
    aria-pressed=${isOff}
    onClick=${() =>
      set((now) => ({ edits: isOff ? withoutEdit(now.edits, edit) : withEdit(now.edits, edit) }))}
  >
    ${t("switch off: {what}", { what: ablateText(edit) })}
  </button>`;
}

/** @param {Ablate} edit */
function ablateText({ block, kind, head }) {
  const what = kind === "self" ? t("self-attention") : t("cross-attention");
  return head === null || head === undefined
    ? t("block {block}, {what}", { block, what })
    : t("block {block}, {what}, head {head}", { block, what, head });
}

/** @param {{ state: Fitted, run: RunInfo }} props */
function Keep({ state, run }) {
  const edit = state.edits.find((one) => one.edit === "freeze");
  const isOther = state.prompt !== run.asked?.prompt;
  /** @param {boolean} on */
  const freeze = (on) =>
    set((now) => {
      /** @type {Edit} */
      const one = { edit: "freeze", run: run.number, until: 1 };
      return on ? { edits: withEdit(now.edits, one), layout: null } : { edits: withoutEdit(now.edits, one) };
    });
  /** @param {boolean} on */
  const keep = (on) =>
    set((now) => ({
      layout: on ? { run: run.number, cross_steps: 0.8, self_steps: 0.4 } : null,
      edits: now.edits.filter((one) => one.edit === "reweight"),
    }));
  return html`<section>
    <h2>${t("Layout")}</h2>
    <label class="check"
      ><input
        type="checkbox"
        checked=${edit !== undefined}
        onChange=${(/** @type {{ target: HTMLInputElement }} */ { target }) => freeze(target.checked)}
      />
      ${t("keep the self-attention of run {run}", { run: edit?.run ?? run.number })}</label
    >
    ${
      edit?.edit === "freeze" &&
      html`<${ShareField}
        label=${t("until")}
        value=${edit.until}
        change=${(/** @type {number} */ until) =>
          set((now) => ({ edits: withEdit(now.edits, { ...edit, until }) }))}
      />`
    }
    <label class="check"
      ><input
        type="checkbox"
        checked=${state.layout !== null}
        onChange=${(/** @type {{ target: HTMLInputElement }} */ { target }) => keep(target.checked)}
      />
      ${t("prompt-to-prompt: the picture of run {run} with the words of the new prompt", {
        run: state.layout?.run ?? run.number,
      })}</label
    >
    ${!isOther && state.layout && html`<p class="quiet">${t("Change a word of the prompt above.")}</p>`}
    ${state.layout && html`<${LayoutShares} layout=${state.layout} />`}
  </section>`;
}

/** @param {{ layout: Layout }} props */
function LayoutShares({ layout }) {
  return html`<${ShareField}
      label=${t("its words until")}
      value=${layout.cross_steps}
      change=${(/** @type {number} */ cross_steps) => set({ layout: { ...layout, cross_steps } })}
    />
    <${ShareField}
      label=${t("its places until")}
      value=${layout.self_steps}
      change=${(/** @type {number} */ self_steps) => set({ layout: { ...layout, self_steps } })}
    />`;
}

/**
 * A share of the steps
 * @param {{ label: string, value: number, change: (value: number) => void }} props
 */
function ShareField({ label, value, change }) {
  return html`<label class="field"
    ><span>${label}</span>
    <div class="steps">
      <input
        type="range"
        min="0.1"
        max="1"
        step="0.1"
        value=${value}
        onInput=${(/** @type {{ target: HTMLInputElement }} */ { target }) => change(Number(target.value))}
      />
      <output>${t("{share} % of the steps", { share: Math.round(100 * value) })}</output>
    </div></label
  >`;
}

const TOLD_MS = 1800;

/** @param {{ state: Fitted, run: RunInfo }} props */
function Summary({ state, run }) {
  const [told, tell] = useState("");
  const isPlain = state.edits.length === 0 && state.layout === null;
  const copy = async () => {
    try {
      const python = await studio.code(run.number);
      if (!navigator.clipboard) return void prompt(t("Code, to copy:"), python);
      await navigator.clipboard.writeText(python);
      tell(t("Code copied"));
    } catch (error) {
      tell(/** @type {Error} */ (error).message);
    }
    setTimeout(() => tell(""), TOLD_MS);
    return undefined;
  };
  return html`<section class="again">
    <button class="main" disabled=${isPlain} onClick=${submitForm}>${t("Again, with the edits")}</button>
    <button disabled=${isPlain} onClick=${() => set({ edits: [], layout: null })}>${t("No edits")}</button>
    <button onClick=${copy} title=${t("the lines of Python that made this picture")}>
      ${t("Copy the run as Python")}
    </button>
    <span class="told" role="status">${told}</span>
  </section>`;
}

/** As if the form's own button was pressed */
function submitForm() {
  /** @type {HTMLFormElement | null} */
  const form = document.querySelector("form.ask");
  form?.requestSubmit();
}
