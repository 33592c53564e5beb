// How numbers become colours: the choices, and the legend.

import { Check, NumberField, Opacity, Select } from "attnscope/controls";
import { later, t } from "attnscope/lang";
import { percent, valueOf } from "attnscope/maps";
import { contextOf, cssColour } from "attnscope/paint";
import { html, useLayoutEffect, useRef } from "attnscope/preact";
import { RAMP_NAMES, table } from "attnscope/ramps";
import { set } from "attnscope/state";

/** @import { Scale } from "attnscope/maps" */
/** @import { RampName } from "attnscope/ramps" */
/** @import { State } from "attnscope/state" */
/** @import { FieldMap } from "attnscope/types" */

/** @param {{ state: State }} props */
export function Colours({ state }) {
  return html`<details open>
    <summary>${t("Colours")}</summary>
    <${Select}
      label=${t("Map")}
      value=${state.colours}
      change=${(/** @type {RampName} */ colours) => set({ colours })}
      options=${RAMP_NAMES.map((name) => [name, name])}
    />
    <${Select}
      label=${t("Scale")}
      value=${state.scale}
      change=${(/** @type {Scale} */ scale) => set({ scale })}
      options=${[
        ["linear", t("linear")],
        ["log", t("logarithmic")],
      ]}
    />
    <${Brightest} state=${state} />
    <${Opacity} state=${state} />
    <${Check} label=${t("contours at ¼, ½ and ¾")} name="contour" state=${state} />
    <${Check} label=${t("cells as squares")} name="cells" state=${state} />
  </details>`;
}

/** @param {{ state: State }} props */
function Brightest({ state }) {
  /** @param {number | null} value */
  const take = (value) => set({ top: value === null ? null : value / 100 });
  return html`<label class="field"
    ><span title=${t("fixed: the same colours for every map, so that maps compare")}>${t("Brightest")}</span>
    <div class="steps">
      <button aria-pressed=${state.top === null} onClick=${() => set({ top: null })}>${t("each map")}</button>
      <${NumberField}
        label=${t("fixed brightest value in percent")}
        placeholder=${t("fixed, %")}
        low=${1e-6}
        high=${100}
        empty=${null}
        value=${state.top === null ? null : Number((100 * state.top).toPrecision(8))}
        change=${take}
      /></div
  ></label>`;
}

/** @type {Record<Scale, string>} */
const SCALES = { linear: later("linear"), log: later("logarithmic") };
const MARKS = [0, 0.25, 0.5, 0.75, 1];

/**
 * top: the brightest value, null for the map's own
 * @param {{ state: State, top: number | null, map: FieldMap | null }} props
 */
export function Legend({ state, top: given, map }) {
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  useLayoutEffect(() => {
    if (canvas.current) drawRamp(contextOf(canvas.current), state.colours);
  }, [state.colours, !map]);
  if (!map || state.mode === "segments") return html`<div class="legend"></div>`;
  const top = given ?? map.maximum;
  const scale = t(SCALES[state.scale]);
  const [low, high] = [percent(valueOf(0, top, state.scale)), percent(top)];
  return html`<div
    class="legend"
    role="img"
    aria-label=${t("colour scale, {scale}, from {low} to {high} of attention", { scale, low, high })}
  >
    <canvas ref=${canvas} width="256" height="1"></canvas>
    <div class="marks">
      ${MARKS.map((mark) => html`<span data-mark=${mark}>${percent(valueOf(mark, top, state.scale))}</span>`)}
    </div>
    <p>${legendText(state, given, map)}</p>
  </div>`;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {RampName} name
 */
function drawRamp(context, name) {
  const colours = table(name);
  for (let x = 0; x < 256; x++) {
    context.fillStyle = cssColour(colours.subarray(3 * x, 3 * x + 3));
    context.fillRect(x, 0, 1, 1);
  }
}

/**
 * @param {State} state
 * @param {number | null} given
 * @param {FieldMap} map
 */
function legendText(state, given, map) {
  const own = given === null ? t("this map's own range") : t("one range for both");
  const range = state.top === null ? own : t("fixed range");
  const text = t("share of attention, {scale}, {range}", { scale: t(SCALES[state.scale]), range });
  return map.maximum > (given ?? map.maximum) ? t("{text} (brighter values are cut)", { text }) : text;
}
