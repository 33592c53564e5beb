// Choices that every mode has: which attention, and how its numbers become colours.

import { html, useEffect, useLayoutEffect, useRef, useState } from "preact";
import * as source from "attnscope/source";
import { firstWords, headsOf, kindOf, layersOf } from "attnscope/look";
import { RAMPS, percent, table, valueOf } from "attnscope/maps";
import { cssColour } from "attnscope/paint";
import { set } from "attnscope/state";

export function Select({ label, value, options, change, title }) {
  return html`<label class="field" title=${title}
    ><span>${label}</span>
    <select
      value=${String(value)}
      onChange=${(event) => change(options.find(([one]) => String(one) === event.target.value)[0])}
    >
      ${options.map(([one, text]) => html`<option value=${String(one)} selected=${one === value}>${text}</option>`)}
    </select></label
  >`;
}

export function Check({ label, name, state, title }) {
  return html`<label class="check" title=${title}
    ><input type="checkbox" checked=${state[name]} onChange=${(event) => set({ [name]: event.target.checked })} />
    ${label}</label
  >`;
}

// A number that is taken when the field is left or Enter is pressed; what is typed stays until then, and what is out of
// range goes back to the number in force. empty: what an empty field means, undefined where it means nothing.
export function NumberField({ label, value, low, high, whole, empty, placeholder, change }) {
  const [draft, type] = useState(null);
  const take = () => {
    const number = draft === "" ? empty : Number(draft);
    const fits = number === null || (number >= low && number <= high && (!whole || Number.isInteger(number)));
    if (draft !== null && number !== undefined && fits) change(number);
    type(null);
  };
  return html`<input
    type="number"
    aria-label=${label}
    title=${`${low} to ${high}`}
    min=${low}
    max=${high}
    step=${whole ? 1 : "any"}
    placeholder=${placeholder}
    value=${draft ?? value ?? ""}
    onInput=${(event) => type(event.target.value)}
    onBlur=${take}
    onKeyDown=${(event) => event.key === "Enter" && take()}
  />`;
}

// Which attention: block, head, step, branch, image
export function Choices({ info, state, busy }) {
  const layers = layersOf(info, kindOf(state));
  const range = (count) => Array.from({ length: count }, (_, number) => number);
  return html`<section aria-label="Which attention">
    ${
      state.mode !== "segments" &&
      source.LIVE &&
      html` <${Select}
          label="Block"
          value=${state.block}
          change=${(block) => set({ block })}
          title="[ and ]"
          options=${[[null, "all, mean"], ...layers.map((layer) => [layer.block, `${layer.block} · ${layer.stage} · ${layer.grid.join("×")}`])]}
        />
        <${Select}
          label="Head"
          value=${state.head}
          change=${(head) => set({ head })}
          title="h"
          options=${[[null, "all, mean"], ...range(headsOf(info, state)).map((head) => [head, `head ${head}`])]}
        />`
    }
    ${source.LIVE && html`<${Steps} info=${info} state=${state} busy=${busy} />`}
    ${
      info.branches.length > 1 &&
      html`<${Select}
        label="Branch"
        value=${state.branch}
        change=${(branch) => set({ branch })}
        options=${info.branches.map((branch) => [branch, branch])}
        title="of guidance: cond reads the prompt, uncond the negative prompt"
      />`
    }
    ${
      info.images.length > 1 &&
      html`<${Select}
        label="Image"
        value=${state.image}
        change=${(image) => set(imageTurn(info, state, image))}
        options=${range(info.images.length).map((image) => [image, `image ${image}`])}
      />`
    }
  </section>`;
}

const PLAY_MS = 450;

// Words stay where both images have one prompt
function imageTurn(info, state, image) {
  const same = info.images[image].prompt === info.images[state.image].prompt;
  return { image, cursor: null, ...(same ? {} : { words: firstWords(info.images[image]), names: null }) };
}

// Playing waits for each step's map
function Steps({ info, state, busy }) {
  const last = info.steps.length - 1;
  const position = info.steps.findIndex((step) => step.index === state.step);
  const shown =
    state.step === null
      ? `all ${info.steps.length}, mean`
      : `step ${state.step} · t = ${Math.round(info.steps[position].timestep)}`;
  const [playing, play] = useState(false);
  useEffect(() => {
    if (!playing || busy) return undefined;
    const timer = setTimeout(() => set({ step: info.steps[(position + 1) % info.steps.length].index }), PLAY_MS);
    return () => clearTimeout(timer);
  }, [playing, busy, state.step]);
  return html`<div class="field" title=", and .">
    <span id="step-name">Step</span>
    <div class="steps">
      <button aria-pressed=${state.step === null} onClick=${() => (play(false), set({ step: null }))}>mean</button>
      ${state.mode !== "segments" && html`<button aria-label=${playing ? "pause" : "play the steps"} aria-pressed=${playing} disabled=${last === 0} onClick=${() => play(!playing)}>${playing ? "❚❚" : "▶"}</button>`}
      <input
        type="range"
        min="-1"
        max=${last}
        value=${position}
        aria-labelledby="step-name"
        aria-valuetext=${shown}
        disabled=${last === 0}
        onInput=${(event) => (play(false), set({ step: info.steps[event.target.value]?.index ?? null }))}
      />
      <output>${shown}</output>
    </div>
  </div>`;
}

export function Opacity({ state }) {
  return html`<label class="field"
    ><span>Opacity</span>
    <div class="steps">
      <input
        type="range"
        min="0"
        max="1"
        step="0.05"
        aria-label="opacity"
        value=${state.opacity}
        onInput=${(event) => set({ opacity: Number(event.target.value) })}
      />
      <output>${Math.round(100 * state.opacity)} %</output>
    </div></label
  >`;
}

// How numbers become colours
export function Colours({ state }) {
  return html`<details open>
    <summary>Colours</summary>
    <${Select}
      label="Map"
      value=${state.colours}
      change=${(colours) => set({ colours })}
      options=${Object.keys(RAMPS).map((name) => [name, name])}
    />
    <${Select}
      label="Scale"
      value=${state.scale}
      change=${(scale) => set({ scale })}
      options=${[
        ["linear", "linear"],
        ["log", "logarithmic"],
      ]}
    />
    <label class="field"
      ><span title="fixed: the same colours for every map, so that maps compare">Brightest</span>
      <div class="steps">
        <button aria-pressed=${state.top === null} onClick=${() => set({ top: null })}>each map</button>
        <${NumberField}
          label="fixed brightest value in percent"
          placeholder="fixed, %"
          low=${1e-6}
          high=${100}
          empty=${null}
          value=${state.top === null ? null : Number((100 * state.top).toPrecision(8))}
          change=${(value) => set({ top: value === null ? null : value / 100 })}
        /></div
    ></label>
    <${Opacity} state=${state} />
    <${Check} label="contours at ¼, ½ and ¾" name="contour" state=${state} />
    <${Check} label="cells as squares" name="cells" state=${state} />
  </details>`;
}

// top: the brightest value, null for the map's own
export function Legend({ state, top: given, map }) {
  const canvas = useRef(null);
  useLayoutEffect(() => {
    if (!canvas.current) return;
    const context = canvas.current.getContext("2d");
    const colours = table(state.colours);
    for (let x = 0; x < 256; x++) {
      context.fillStyle = cssColour(colours.subarray(3 * x, 3 * x + 3));
      context.fillRect(x, 0, 1, 1);
    }
  }, [state.colours, !map]);
  if (!map || state.mode === "segments") return html`<div class="legend"></div>`;
  const top = given ?? map.maximum;
  const range = state.top !== null ? "fixed range" : given === null ? "this map's own range" : "one range for both";
  const marks = [0, 0.25, 0.5, 0.75, 1];
  return html`<div
    class="legend"
    role="img"
    aria-label=${`colour scale, ${state.scale}, from ${percent(valueOf(0, top, state.scale))} to ${percent(top)} of attention`}
  >
    <canvas ref=${canvas} width="256" height="1"></canvas>
    <div class="marks">
      ${marks.map((mark) => html`<span data-mark=${mark}>${percent(valueOf(mark, top, state.scale))}</span>`)}
    </div>
    <p>
      ${`share of attention, ${state.scale === "log" ? "logarithmic" : "linear"}, ${range}${map.maximum > top ? " (brighter values are cut)" : ""}`}
    </p>
  </div>`;
}
