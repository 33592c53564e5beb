// Cut out: the points, the numbers of what they give, and its files.

import { Select } from "attnscope/controls";
import { later, t } from "attnscope/lang";
import { layersOf } from "attnscope/look";
import { percent } from "attnscope/maps";
import { html } from "attnscope/preact";
import { set } from "attnscope/state";
import { cutFile } from "attnscope/tools/cutting";
import { pixelOf, removePoint } from "attnscope/tools/points";

/** @import { Point } from "attnscope/tools/points" */
/** @import { Cut, Fitted, Look, TraceInfo } from "attnscope/types" */

/** @param {{ info: TraceInfo, state: Fitted, look: Look }} props */
export function CutoutPanel({ info, state, look }) {
  const cut = look.cut.value;
  return html`<section>
    <h2>${t("Cut out")}</h2>
    <p class="quiet">
      ${t("Click on a thing. Click with Shift on what is too much, and without it on what is missing.")}
    </p>
    <${Points} info=${info} state=${state} />
    ${cut && state.points.length > 0 && html`<${Numbers} cut=${cut} />`}
    ${cut && state.points.length > 0 && html`<${CutFiles} info=${info} state=${state} />`}
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
  layersOf(info, "self").map(({ block, stage, grid }) => [block, `${block} · ${stage} · ${grid.join("×")}`]);

/** @type {[Point["sign"], string][]} */
const SIGNS = [
  ["plus", later("on the thing")],
  ["minus", later("beside it")],
];
const MARKS = { plus: "+", minus: "−" };

/**
 * What a click is, for those who have no Shift: below the picture, where fingers are
 * @param {{ state: Fitted }} props
 */
export function Signs({ state }) {
  return html`<div class="modes signs" role="group" aria-label=${t("A click is")}>
    ${SIGNS.map(
      ([sign, says]) =>
        html`<button aria-pressed=${state.sign === sign} onClick=${() => set({ sign })}>
          <b aria-hidden="true">${MARKS[sign]}</b> ${t(says)}
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
        const says = point.sign === "plus" ? t("on the thing") : t("beside it");
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
