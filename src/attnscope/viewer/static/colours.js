// How numbers become colours: the choices, and the legend.

import { Check, NumberField, Opacity, Select } from "attnscope/controls";
import { later, t } from "attnscope/lang";
import { percent, valueOf } from "attnscope/maps";
import { contextOf, mapImage } from "attnscope/paint";
import { html, useLayoutEffect, useRef } from "attnscope/preact";
import { RAMP_NAMES } from "attnscope/ramps";
import { rangeText } from "attnscope/scale";
import { set } from "attnscope/state";

/** @import { Scale } from "attnscope/maps" */
/** @import { Scaled } from "attnscope/scale" */
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
      options=${RAMP_NAMES.map((name) => [name, name, true])}
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
    <${Check}
      label=${t("picture shows through")}
      title=${t("where there is little attention; else the map is equally opaque everywhere")}
      name="through"
      state=${state}
    />
    <${Check} label=${t("contours at ¼, ½ and ¾")} name="contour" state=${state} />
    <${Check} label=${t("cells as squares")} name="cells" state=${state} />
  </details>`;
}

/**
 * Places have no common scale
 * @param {State} state
 * @param {State["range"]} range
 * @param {string} text
 */
function rangeButton(state, range, text) {
  const isChosen = state.top === null && (state.range === range || state.mode !== "words");
  return html`<button aria-pressed=${isChosen} onClick=${() => set({ top: null, range })}>${text}</button>`;
}

/** @param {{ state: State }} props */
function Brightest({ state }) {
  /** @param {number | null} value */
  const take = (value) => set({ top: value === null ? null : value / 100 });
  return html`<div class="field" role="group" aria-label=${t("Brightest")}>
    <span title=${t("fixed: the same colours for every map, so that maps compare")}>${t("Brightest")}</span>
    <div class="steps">
      ${state.mode === "words" && rangeButton(state, "words", t("all words"))}
      ${rangeButton(state, "each", t("each map"))}
      <${NumberField}
        label=${t("fixed brightest value in percent")}
        placeholder=${t("fixed, %")}
        low=${1e-6}
        high=${100}
        empty=${null}
        value=${state.top === null ? null : Number((100 * state.top).toPrecision(8))}
        change=${take}
      />
    </div>
  </div>`;
}

/** @type {Record<Scale, string>} */
const SCALES = { linear: later("linear"), log: later("logarithmic") };
const LINEAR = /** @type {Scale} */ ("linear");
const MARKS = [0, 0.25, 0.5, 0.75, 1];

/**
 * The button for the picture alone stands here, below the picture. ramp: whether there are maps; their place
 * is kept until the first is there, so that the picture does not move then.
 * @param {{ state: State, scale: Scaled, ramp: boolean, map: FieldMap | null }} props
 */
export function Legend({ state, scale, ramp, map }) {
  return html`<div class="legend">
    ${ramp && html`<${Ramp} state=${state} scale=${scale} map=${map} />`}
    <button
      class="alone"
      aria-pressed=${state.bare === true}
      title=${t("without its map, as long as the key p is held")}
      onClick=${() => set({ bare: !state.bare })}
    >
      ${t("picture alone")}
    </button>
  </div>`;
}

/** @param {{ state: State, scale: Scaled, map: FieldMap | null }} props */
function Ramp({ state, scale, map }) {
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const { colours, opacity, through } = state;
  useLayoutEffect(() => {
    if (canvas.current) drawRamp(contextOf(canvas.current), { colours, opacity, through });
  }, [colours, opacity, through]);
  const maximum = map?.maximum ?? 0;
  const top = scale.top ?? maximum;
  const [low, high] = [percent(valueOf(0, top, state.scale)), percent(top)];
  const kind = t(SCALES[state.scale]);
  const label = t("colour scale, {scale}, from {low} to {high} of attention", { scale: kind, low, high });
  return html`<div class=${map ? "ramp" : "ramp empty"} role="img" aria-label=${label}>
    <canvas ref=${canvas} width="256" height="2"></canvas>
    <div class="marks">
      ${MARKS.map((mark) => html`<span data-mark=${mark}>${percent(valueOf(mark, top, state.scale))}</span>`)}
    </div>
    <p>${legendText(state, scale, maximum)}</p>
  </div>`;
}

const STEPS = { height: 1, width: 256, values: Float32Array.from({ length: 256 }, (_, at) => at / 255) };

/**
 * All values of the scale, the colours by themselves and below them as they lie on the picture
 * @param {CanvasRenderingContext2D} context
 * @param {Pick<State, "colours" | "opacity" | "through">} style
 */
export function drawRamp(context, style) {
  const shown = { ...style, scale: LINEAR, top: 1, contour: false, cells: true };
  context.putImageData(mapImage(STEPS, 1, 256, { ...shown, opacity: 1, through: false }), 0, 0);
  context.putImageData(mapImage(STEPS, 1, 256, shown), 0, 1);
}

/**
 * @param {State} state
 * @param {Scaled} scale
 * @param {number} maximum of the map
 */
function legendText(state, scale, maximum) {
  const text = t("share of attention, {scale}, {range}", {
    scale: t(SCALES[state.scale]),
    range: rangeText(scale),
  });
  const isCut = maximum > (scale.top ?? maximum);
  return [
    isCut ? t("{text} (brighter values are cut)", { text }) : text,
    state.through && t("the darker the colour, the more the picture shows through"),
  ]
    .filter(Boolean)
    .join(" · ");
}
