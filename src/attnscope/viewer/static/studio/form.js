// The prompt and its settings, and the button that makes a picture of them.

import { NumberField } from "attnscope/controls";
import { t } from "attnscope/lang";
import { html, useEffect, useRef, useState } from "attnscope/preact";
import { get, set } from "attnscope/state";
import { Bringing } from "attnscope/studio/bringing";
import { askedOf } from "attnscope/studio/draft";
import { isOver, mayChange, runOf, runOfTrace, useStudio } from "attnscope/studio/news";
import * as studio from "attnscope/studio/source";

/** @import { State } from "attnscope/state" */
/** @import { ModelInfo, RunInfo } from "attnscope/studio/types" */

const MOST_SEED = Number.MAX_SAFE_INTEGER;
const NEW_SEEDS = 1e6; // dice throw numbers that can be read and said

/** @param {{ state: State }} props */
export function Form({ state }) {
  const info = useStudio();
  const [problem, tell] = useState("");
  const [isOpen, open] = useState(false); // the settings, where there is little room
  const run = runOf(info, state.run);
  const running = run && !isOver(run) ? run : null;
  const alert = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => alert.current?.scrollIntoView({ block: "nearest" }), [problem]);
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    tell("");
    try {
      const begun = await studio.make(askedOf(get(), runOfTrace(info, get().trace)));
      set({ run: begun.number, cursor: null });
    } catch (error) {
      tell(/** @type {Error} */ (error).message);
    }
  };
  return html`<form class="ask" aria-label=${t("A new picture")} onSubmit=${submit}>
    <div class="ask-line">
      <input
        id="prompt"
        class="ask-prompt"
        type="text"
        autocomplete="off"
        aria-label=${t("prompt")}
        placeholder=${t("Type what the picture shows, such as: a red house and a tree under a blue sky")}
        value=${state.prompt}
        onInput=${typed("prompt")}
      />
      ${
        running && mayChange(running)
          ? html`<button type="button" class="main" onClick=${() => studio.stop(running.number)}>
              ${t("Stop")}
            </button>`
          : null
      }
      <button type="submit" class="main" disabled=${!state.prompt.trim() || info?.model.state === "failed"}>
        ${submitText(state)}
      </button>
      <button type="button" class="ask-more" aria-expanded=${isOpen} onClick=${() => open(!isOpen)}>
        ${t("Settings")}
      </button>
    </div>
    <div class="ask-settings">
      <div class=${isOpen ? "ask-fields open" : "ask-fields"}>
        <${Settings} state=${state} model=${info?.model ?? null} />
      </div>
      ${info?.files !== false && html`<${Bringing} canRead=${!info?.model.no_photos} />`}
    </div>
    ${problem && html`<p ref=${alert} class="ask-problem" role="alert" lang="en">${problem}</p>`}
    ${info && modelText(info.model)}
  </form>`;
}

/** @param {"prompt" | "negative"} name */
const typed =
  (name) =>
  (/** @type {{ target: HTMLInputElement }} */ { target }) =>
    set({ [name]: target.value });

/** @param {State} state */
function submitText({ edits, layout }) {
  const changes = edits.length + (layout ? 1 : 0);
  if (!changes) return t("Generate");
  return changes === 1 ? t("Generate with 1 edit") : t("Generate with {count} edits", { count: changes });
}

/** @param {ModelInfo} model */
function modelText(model) {
  if (model.state === "failed") {
    return html`<p class="ask-problem" role="alert">
      ${t("The model can't be loaded.")} <span lang="en">${model.error}</span>
    </p>`;
  }
  if (model.state === "ready") return null;
  return html`<p class="quiet" role="status">${t("Loading {model} …", { model: model.name })}</p>`;
}

/** @param {{ state: State, model: ModelInfo | null }} props */
function Settings({ state, model }) {
  const [height, width] = state.size?.split("x").map(Number) ?? [null, null];
  /** @param {number | null} tall @param {number | null} wide */
  const sized = (tall, wide) => set({ size: tall && wide ? `${tall}x${wide}` : null });
  return html`<label
      >${t("seed")}
      <${NumberField}
        label=${t("seed")}
        whole
        low=${0}
        high=${MOST_SEED}
        value=${state.seed}
        change=${(/** @type {number} */ seed) => set({ seed })}
      />
      <button
        type="button"
        title=${t("another seed")}
        aria-label=${t("another seed")}
        onClick=${() => set({ seed: Math.floor(Math.random() * NEW_SEEDS) })}
      >
        ⚄
      </button></label
    >
    <label
      >${t("steps")}
      <${NumberField}
        label=${t("steps")}
        whole
        low=${1}
        high=${250}
        empty=${null}
        placeholder=${String(model?.steps ?? "")}
        value=${state.count}
        change=${(/** @type {number | null} */ count) => set({ count })}
      /></label>
    ${
      model?.guidance_scale !== null &&
      html`<label
        >${t("guidance")}
        <${NumberField}
          label=${t("guidance")}
          low=${0}
          high=${100}
          empty=${null}
          placeholder=${String(model?.guidance_scale ?? "")}
          value=${state.guidance}
          change=${(/** @type {number | null} */ guidance) => set({ guidance })}
      /></label>`
    }
    <label
      >${t("size")}
      <${NumberField}
        label=${t("height in pixels")}
        whole
        low=${8}
        high=${4096}
        empty=${null}
        placeholder=${String(model?.height ?? "")}
        value=${height}
        change=${(/** @type {number | null} */ tall) => sized(tall, width ?? model?.width ?? tall)}
      />
      ×
      <${NumberField}
        label=${t("width in pixels")}
        whole
        low=${8}
        high=${4096}
        empty=${null}
        placeholder=${String(model?.width ?? "")}
        value=${width}
        change=${(/** @type {number | null} */ wide) => sized(height ?? model?.height ?? wide, wide)}
      /></label>
    ${
      model?.takes_negative &&
      html`<label class="ask-negative"
        >${t("not")}
        <input
          type="text"
          autocomplete="off"
          aria-label=${t("negative prompt")}
          placeholder=${t("what to avoid")}
          value=${state.negative}
          onInput=${typed("negative")}
      /></label>`
    }`;
}

/**
 * A sentence about a run that is not over
 * @param {RunInfo} run
 */
export function progressText({ state, place, done, total }) {
  if (state === "waiting" && place) return t("{count} before this one", { count: place });
  if (state === "waiting" || state === "loading") return t("The model gets ready …");
  return t("step {done} of {total}", { done, total });
}
