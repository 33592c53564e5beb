// All runs as small cards, the newest first.

import { t } from "attnscope/lang";
import { html, useState } from "attnscope/preact";
import { get, set } from "attnscope/state";
import { draftOf } from "attnscope/studio/draft";
import { progressText } from "attnscope/studio/form";
import { lookAt } from "attnscope/studio/looking";
import { isOver, mayChange, useStudio } from "attnscope/studio/news";
import * as studio from "attnscope/studio/source";

/** @import { State } from "attnscope/state" */
/** @import { RunInfo } from "attnscope/studio/types" */

/** @param {{ state: State }} props */
export function History({ state }) {
  const info = useStudio();
  if (!info?.runs.length) return null;
  return html`<nav class="history" aria-label=${t("Pictures so far")}>
    ${[...info.runs].reverse().map((run) => html`<${Card} key=${run.number} run=${run} state=${state} />`)}
  </nav>`;
}

/** @param {{ run: RunInfo, state: State }} props */
function Card({ run, state }) {
  const [isOpen, open] = useState(false);
  const isLooked = run.number === state.run || (state.run === null && run.trace === state.trace);
  return html`<div class="card" data-run=${run.number} data-state=${run.state}>
    <button
      class="card-picture"
      aria-pressed=${isLooked}
      aria-label=${t("{name}, run {number}", { name: run.name, number: run.number })}
      title=${run.name}
      onClick=${() => lookAt(run.number)}
    >
      ${run.has_picture ? html`<img src=${studio.card(run)} alt="" />` : html`<span class="blank"></span>`}
      ${!isOver(run) && html`<progress value=${run.done} max=${run.total || 1}></progress>`}
    </button>
    <div class="card-text">
      <span class="card-name" translate=${false} title=${run.name}>${run.name}</span>
      <small>${stateText(run)}</small>
      <button
        class="bare"
        aria-expanded=${isOpen}
        aria-label=${t("more about run {number}", { number: run.number })}
        onClick=${() => open(!isOpen)}
      >
        ⋯
      </button>
    </div>
    ${isOpen && html`<${Menu} run=${run} close=${() => open(false)} />`}
  </div>`;
}

/** @param {RunInfo} run */
function stateText(run) {
  if (!isOver(run)) return progressText(run);
  if (run.state === "failed") return t("failed");
  if (run.state === "stopped") return t("stopped");
  if (run.kind === "photo") return t("photo");
  if (run.kind === "trace") return t("trace");
  const edits = (run.asked?.edits.length ?? 0) + (run.asked?.layout ? 1 : 0);
  if (edits) return t("seed {seed}, edited", { seed: run.asked?.seed ?? 0 });
  return t("seed {seed}", { seed: run.asked?.seed ?? 0 });
}

/** @param {{ run: RunInfo, close: () => void }} props */
function Menu({ run, close }) {
  const [problem, tell] = useState("");
  /** @param {() => unknown} act */
  const doing = (act) => async () => {
    try {
      await act();
      close();
    } catch (error) {
      tell(/** @type {Error} */ (error).message);
    }
  };
  const { trace: shown } = get();
  return html`<div class="menu" role="group" aria-label=${t("run {number}", { number: run.number })}>
    ${
      run.trace !== null &&
      run.trace !== shown &&
      html`<button onClick=${doing(() => set({ other: run.trace }))}>${t("Compare with this")}</button>`
    }
    ${
      run.asked &&
      html`<button onClick=${doing(() => run.asked && set(draftOf(run.asked)))}>
        ${t("Use its settings")}
      </button>`
    }
    ${mayChange(run) && html`<${OfItsMaker} run=${run} doing=${doing} />`}
    ${problem && html`<p class="ask-problem" role="alert" lang="en">${problem}</p>`}
  </div>`;
}

/** @param {{ run: RunInfo, doing: (act: () => unknown) => () => Promise<void> }} props */
function OfItsMaker({ run, doing }) {
  return html`<button onClick=${doing(() => renamed(run))}>${t("Rename")}</button>
    ${
      isOver(run)
        ? html`<button onClick=${doing(() => deleted(run))}>${t("Delete")}</button>`
        : html`<button onClick=${doing(() => studio.stop(run.number))}>${t("Stop")}</button>`
    }`;
}

/** @param {RunInfo} run */
async function renamed({ number, name }) {
  const next = prompt(t("Its name:"), name);
  if (next) await studio.rename(number, next);
}

/** @param {RunInfo} run */
async function deleted({ number, name }) {
  if (confirm(t("Delete “{name}” with its picture and its trace?", { name }))) await studio.remove(number);
}
