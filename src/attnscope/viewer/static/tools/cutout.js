// Cut out: the points, the numbers of what they give, and its files.

import { Select } from "attnscope/controls";
import { later, t } from "attnscope/lang";
import { layersOf, stageName } from "attnscope/look";
import { percent } from "attnscope/maps";
import { WhichTrace } from "attnscope/panels";
import { html } from "attnscope/preact";
import { set } from "attnscope/state";
import { cutFile } from "attnscope/tools/cutting";
import { pixelOf, removePoint } from "attnscope/tools/points";

/** @import { Point } from "attnscope/tools/points" */
/** @import { Cut, Fitted, Look, TraceInfo } from "attnscope/types" */

/**
 * which: of two traces, whose points are the same
 * @param {{ info: TraceInfo, state: Fitted, look: Look, which?: "first" | "second" | null }} props
 */
export function CutoutPanel({ info, state, look, which }) {
  const cut = state.points.length ? look.cut.value : null;
  const numbers = cut && html`<${Numbers} cut=${cut} /><${CutFiles} info=${info} state=${state} />`;
  if (which === "second") {
    return html`<section><${WhichTrace} info=${info} which=${which} />${numbers}</section>`;
  }
  return html`<section>
    <h2>${t("Cut out")}</h2>
    <p class="quiet">
      ${t("Click on a thing. Click with Shift on what is too much, and without it on what is missing.")}
    </p>
    ${which && html`<${Signs} state=${state} />`}
    <${Points} info=${info} state=${state} />
    <${WhichTrace} info=${info} which=${which} />
    ${numbers}
    <${Select}
      label=${t("Block")}
      value=${state.cutBlock}
      change=${(/** @type {number | null} */ cutBlock) => set({ cutBlock })}
      title=${t("whose self-attention says how far places are from a click")}
      options=${[[null, t("the usual ones")], ...blockOptions(info)]}
    />
  </section>`;
}

/**
 * @param {TraceInfo} info
 * @returns {[number, string][]}
 */
const blockOptions = (info) =>
  layersOf(info, "self").map(({ block, stage, grid }) => [
    block,
    `${block} · ${stageName(stage)} · ${grid.join("×")}`,
  ]);

/** @type {Point["sign"][]} */
const SIGNS = ["plus", "minus"];
const SAYS = { plus: later("on the thing"), minus: later("beside it") };
const MARKS = { plus: "+", minus: "−" };

/**
 * What a click is, for those who have no Shift: below one picture, where fingers are, or beside two
 * @param {{ state: Fitted }} props
 */
export function Signs({ state }) {
  return html`<div class="modes signs" role="group" aria-label=${t("A click is")}>
    ${SIGNS.map(
      (sign) =>
        html`<button aria-pressed=${state.sign === sign} onClick=${() => set({ sign })}>
          <b aria-hidden="true">${MARKS[sign]}</b> ${t(SAYS[sign])}
        </button>`,
    )}
  </div>`;
}

/** @param {{ info: TraceInfo, state: Fitted }} props */
function Points({ info, state }) {
  if (!state.points.length) return null;
  return html`<ul class="pins points" aria-label=${t("Points")}>
      ${state.points.map((point, number) => {
        const [x, y] = pixelOf(point, info);
        const says = t(SAYS[point.sign]);
        return html`<li key=${point.at.join()} class=${point.sign}>
          <span><b aria-hidden="true">${MARKS[point.sign]}</b>${t("{x}, {y} px", { x, y })}</span>
          <button
            class="bare"
            aria-label=${t("remove point {x}, {y} {says}", { x, y, says })}
            onClick=${() => removePoint(number)}
          >
            ✕
          </button>
        </li>`;
      })}
    </ul>
    <button onClick=${() => set({ points: [] })}>${t("Remove all points")}</button>`;
}

/** @param {{ cut: Cut }} props */
function Numbers({ cut }) {
  return html`<dl class="numbers">
    <dt>${t("share")}</dt>
    <dd data-number="share">${percent(cut.share)} <small>${t("of the picture")}</small></dd>
    <dt>${t("area")}</dt>
    <dd data-number="area">${cut.area} <small>${t("pixels")}</small></dd>
    <dt title=${t("how sharp the border around each click is, beside the sharpest edge there")}>
      ${t("score")}
    </dt>
    <dd data-number="score">${cut.score.toFixed(2)} <small>${t("of 1")}</small></dd>
  </dl>`;
}

/** @param {{ info: TraceInfo, state: Fitted }} props */
function CutFiles({ info, state }) {
  return html`<p class="files cut-files">
    <span>${t("Save")}</span>
    <a href=${cutFile(info, state, "picture")} download>${t("the thing (PNG)")}</a>
    <a href=${cutFile(info, state, "mask")} download>${t("its mask (PNG)")}</a>
    <a href=${cutFile(info, state, "json")} download>JSON</a>
  </p>`;
}
