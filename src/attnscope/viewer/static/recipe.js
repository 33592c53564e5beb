// How segments are made: the threshold, and what stands under "More".

import { Check, NumberField } from "attnscope/controls";
import { later, t } from "attnscope/lang";
import { layersOf, tauOf, weightsOf } from "attnscope/look";
import { html } from "attnscope/preact";
import * as source from "attnscope/source";
import { set } from "attnscope/state";

/** @import { State } from "attnscope/state" */
/** @import { Fitted, TraceInfo } from "attnscope/types" */

const SLIDER = { low: 0.02, high: 2, stops: 400 };
const DECADES = Math.log(SLIDER.high / SLIDER.low);

/** @param {number} tau */
export const toSlider = (tau) => Math.round((SLIDER.stops * Math.log(tau / SLIDER.low)) / DECADES);

/** @param {number} stop */
export const fromSlider = (stop) =>
  Number((SLIDER.low * (SLIDER.high / SLIDER.low) ** (stop / SLIDER.stops)).toPrecision(3));

/**
 * An exported page has a few thresholds only.
 * @param {{ info: TraceInfo, state: Fitted }} props
 */
export function Threshold({ info, state }) {
  const tau = tauOf(info, state);
  const stops = source.thresholds();
  /** @param {{ target: HTMLInputElement }} event */
  const take = ({ target }) => {
    const stop = Number(target.value);
    set({ tau: stops ? stops[stop] : fromSlider(stop) });
  };
  return html`<label class="field"
    ><span title=${t("nats of symmetric KL; larger gives fewer segments")}>${t("Threshold")}</span>
    <div class="steps">
      <input
        type="range"
        min="0"
        max=${stops ? stops.length - 1 : SLIDER.stops}
        value=${stops ? Math.max(stops.indexOf(tau), 0) : toSlider(tau)}
        aria-label=${t("threshold")}
        aria-valuetext=${tau}
        onInput=${take}
      />
      <output>${tau}</output>
    </div></label
  >`;
}

/** @param {{ info: TraceInfo, state: Fitted }} props */
export function Recipe({ info, state }) {
  return html`<details>
    <summary>${t("More")}</summary>
    ${wholeNumber(state, "passes", 1, 10)} ${wholeNumber(state, "anchors", 1, 32)}
    <${Check} label=${t("segments of one name are one")} name="unite" state=${state} />
    <${Weights} info=${info} state=${state} />
  </details>`;
}

const NUMBERS = {
  passes: { label: later("Passes"), name: later("passes") },
  anchors: { label: later("Anchors"), name: later("anchors") },
};

/**
 * @param {State} state
 * @param {"passes" | "anchors"} name
 * @param {number} low
 * @param {number} high
 */
function wholeNumber(state, name, low, high) {
  return html`<label class="field"
    ><span>${t(NUMBERS[name].label)}</span>
    <${NumberField}
      label=${t(NUMBERS[name].name)}
      low=${low}
      high=${high}
      whole
      value=${state[name]}
      change=${(/** @type {number} */ value) => set({ [name]: value })}
  /></label>`;
}

/**
 * The paper weighs each scale by its height.
 * @param {{ info: TraceInfo, state: Fitted }} props
 */
function Weights({ info, state }) {
  const grids = layersOf(info, "self").map((layer) => layer.grid[0]);
  const heights = [...new Set(grids)].sort((one, other) => other - one);
  const given = new Map(weightsOf(state).map(([height, weight]) => [Number(height), Number(weight)]));
  /** @param {number} height @param {number} value */
  const change = (height, value) => {
    const all = heights.map((one) => [one, one === height ? value : (given.get(one) ?? one)]);
    set({ weights: all.map((pair) => pair.join(":")).join(",") });
  };
  return html`<fieldset>
    <legend>${t("Weight of each scale")}</legend>
    ${heights.map(
      (height) =>
        html`<label class="field"
          ><span>${t("{height} high", { height })}</span>
          <${NumberField}
            label=${t("weight of {height} high", { height })}
            low=${0}
            high=${9999}
            value=${given.get(height) ?? height}
            change=${(/** @type {number} */ value) => change(height, value)}
        /></label>`,
    )}
    ${
      state.weights &&
      html`<button onClick=${() => set({ weights: "" })}>${t("the paper's weights")}</button>`
    }
  </fieldset>`;
}
