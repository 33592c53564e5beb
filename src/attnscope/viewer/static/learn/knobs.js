// What is chosen beside the layer: self or cross, head, step, branch, picture.

import { Select } from "attnscope/controls";
import { later, t } from "attnscope/lang";
import { cellOf } from "attnscope/learn/choice";
import { kindName } from "attnscope/learn/layers";
import { isPart, layersOf } from "attnscope/look";
import { html } from "attnscope/preact";
import { set } from "attnscope/state";

/** @import { Kind, TraceInfo } from "attnscope/types" */
/** @import { Chosen } from "attnscope/learn/types" */

/** @param {number} count */
const counted = (count) => Array.from({ length: count }, (_, at) => at);

/** @param {{ info: TraceInfo, chosen: Chosen }} props */
export function Knobs({ info, chosen }) {
  const { layer, view } = chosen;
  const [row, column] = cellOf(chosen);
  return html`<section class="learn-knobs" aria-label=${t("Which attention")}>
    <p class="learn-where">
      <b>${t("block {block}", { block: layer.block })}</b> ${layer.stage} · ${layer.grid.join("×")} <br /><i
        class="learn-swatch query"
      ></i>
      ${t("the place that asks: row {row}, column {column}", { row, column })}
    </p>
    <${Kinds} info=${info} chosen=${chosen} />
    <div class="field">
      <span id="learn-head">${t("Head")}</span>
      <div class="learn-chips" role="group" aria-labelledby="learn-head">
        ${counted(layer.heads).map(
          (head) =>
            html`<button key=${head} aria-pressed=${head === view.head} onClick=${() => set({ head })}>
              ${head}
            </button>`,
        )}
      </div>
    </div>
    <${Step} info=${info} chosen=${chosen} />
    ${
      info.branches.length > 1 &&
      html`<${Select}
        label=${t("Branch")}
        value=${view.branch}
        change=${(/** @type {string} */ branch) => set({ branch })}
        options=${info.branches.map((branch) => [branch, branch])}
      />`
    }
    ${
      info.images.length > 1 &&
      html`<${Select}
        label=${t("Image")}
        value=${view.image}
        change=${(/** @type {number} */ image) => set({ image })}
        options=${counted(info.images.length).map((image) => [image, t("image {image}", { image })])}
      />`
    }
  </section>`;
}

/** @param {{ info: TraceInfo, chosen: Chosen }} props */
function Kinds({ info, chosen: { layer } }) {
  if (isPart(layer)) return html`<p class="learn-note">${t(JOINT)}</p>`;
  /** @type {Kind[]} */
  const kinds = ["self", "cross"];
  const own = kinds.flatMap((kind) => layersOf(info, kind).filter(({ block }) => block === layer.block));
  return html`<div class="learn-kinds" role="group" aria-label=${t("Kind of attention")}>
    ${own.map(
      (one) =>
        html`<button
          aria-pressed=${one.kind === layer.kind}
          onClick=${() => set({ kind: one.kind, block: one.block, key: null })}
        >
          ${kindName(one)}
        </button>`,
    )}
  </div>`;
}

const JOINT = later(
  "A joint attention: the text is among the keys, beside the picture's places, and one softmax is over " +
    "both. The text asks, too; shown here are the picture's places.",
);

/** @param {{ info: TraceInfo, chosen: Chosen }} props */
function Step({ info: { steps }, chosen: { view } }) {
  const at = steps.findIndex(({ index }) => index === view.step);
  const shown = t("step {step} · t = {time}", { step: view.step, time: Math.round(steps[at].timestep) });
  /** @param {{ target: HTMLInputElement }} event */
  const take = ({ target }) => set({ step: steps[Number(target.value)].index });
  return html`<label class="field" title=${t("keys {keys}", { keys: ", ." })}
    ><span>${t("Step")}</span>
    <div class="steps">
      <input
        type="range"
        min="0"
        max=${steps.length - 1}
        value=${at}
        aria-valuetext=${shown}
        disabled=${steps.length === 1}
        onInput=${take}
      />
      <output>${shown}</output>
    </div></label
  >`;
}
