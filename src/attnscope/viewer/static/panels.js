// The controls and the numbers beside the stage.

import { html, useEffect, useLayoutEffect, useRef, useState } from "preact";
import * as source from "attnscope/source";
import { set } from "attnscope/state";
import { boxOf, choosable, gridOf, headsOf, kindOf, layersOf, namesOf, placeText, recipeOf, sourceOf, tauOf, wordsOf } from "attnscope/look";
import { percent, RAMPS, table, valueOf } from "attnscope/maps";
import { cssColour, PIN_COLOURS, segmentColour } from "attnscope/paint";
import { labelAt, removePin } from "attnscope/stage";

export function Select({ label, value, options, change, title }) {
  return html`<label class="field" title=${title}><span>${label}</span>
    <select value=${String(value)} onChange=${(event) => change(options.find(([one]) => String(one) === event.target.value)[0])}>
      ${options.map(([one, text]) => html`<option value=${String(one)} selected=${one === value}>${text}</option>`)}
    </select></label>`;
}

export function Check({ label, name, state, title }) {
  return html`<label class="check" title=${title}><input type="checkbox" checked=${state[name]} onChange=${(event) => set({ [name]: event.target.checked })} /> ${label}</label>`;
}

// Which attention: block, head, step, branch, image
export function Choices({ info, state, busy }) {
  const layers = layersOf(info, kindOf(state));
  const range = (count) => Array.from({ length: count }, (_, number) => number);
  return html`<section aria-label="Which attention">
    ${state.mode !== "segments" && source.LIVE && html`
      <${Select} label="Block" value=${state.block} change=${(block) => set({ block })} title="[ and ]"
        options=${[[null, "all, mean"], ...layers.map((layer) => [layer.block, `${layer.block} · ${layer.stage} · ${layer.grid.join("×")}`])]} />
      <${Select} label="Head" value=${state.head} change=${(head) => set({ head })} title="h"
        options=${[[null, "all, mean"], ...range(headsOf(info, state)).map((head) => [head, `head ${head}`])]} />`}
    ${source.LIVE && html`<${Steps} info=${info} state=${state} busy=${busy} />`}
    ${info.branches.length > 1 && html`<${Select} label="Branch" value=${state.branch} change=${(branch) => set({ branch })}
      options=${info.branches.map((branch) => [branch, branch])} title="of guidance: cond reads the prompt, uncond the negative prompt" />`}
    ${info.images.length > 1 && html`<${Select} label="Image" value=${state.image} change=${(image) => set({ image, words: [], names: null, cursor: null })}
      options=${range(info.images.length).map((image) => [image, `image ${image}`])} />`}
  </section>`;
}

const PLAY_MS = 450;

// Playing waits for each step's map
function Steps({ info, state, busy }) {
  const last = info.steps.length - 1;
  const position = info.steps.findIndex((step) => step.index === state.step);
  const shown = state.step === null ? `all ${info.steps.length}, mean` : `step ${state.step} · t = ${Math.round(info.steps[position].timestep)}`;
  const [playing, play] = useState(false);
  useEffect(() => {
    if (!playing || busy) return undefined;
    const timer = setTimeout(() => set({ step: info.steps[(position + 1) % info.steps.length].index }), PLAY_MS);
    return () => clearTimeout(timer);
  }, [playing, busy, state.step]);
  return html`<div class="field" title=", and ."><span id="step-name">Step</span><div class="steps">
    <button aria-pressed=${state.step === null} onClick=${() => (play(false), set({ step: null }))}>mean</button>
    ${state.mode !== "segments" && html`<button aria-label=${playing ? "pause" : "play the steps"} aria-pressed=${playing} disabled=${last === 0} onClick=${() => play(!playing)}>${playing ? "❚❚" : "▶"}</button>`}
    <input type="range" min="0" max=${last} value=${position < 0 ? last : position} aria-labelledby="step-name" aria-valuetext=${shown}
      disabled=${last === 0} onInput=${(event) => (play(false), set({ step: info.steps[event.target.value].index }))} />
    <output>${shown}</output></div></div>`;
}

// Words of the prompt: bars say what the place under the cursor takes from each
export function PromptBar({ info, state, shares }) {
  const image = info.images[state.image];
  const words = choosable(image, state.branch).filter((word) => state.mode !== "segments" || word.role === "text");
  const sums = shares && words.map((word) => word.tokens.reduce((sum, token) => sum + shares[token], 0));
  const most = sums && Math.max(...sums.filter((_, at) => words[at].role === "text"), 1e-9);
  const names = state.mode === "segments" ? namesOf(info, state) : null;
  const choose = (id) => set((now) => {
    if (names) return { names: names.includes(id) ? names.filter((other) => other !== id) : [...names, id] };
    if (now.mode === "places") return { mode: "words", words: [id], touched: null };
    return { words: now.words.includes(id) ? now.words.filter((other) => other !== id) : [...now.words, id], touched: null };
  });
  return html`<nav class="prompt" aria-label="Words of the prompt">
    ${words.length === 0 && html`<span class="quiet">${state.branch === "uncond" ? "The negative prompt's tokens are not in the trace." : "This trace knows no words: the run got embeddings."}</span>`}
    ${words.map((word, at) => html`<button key=${word.id} class=${`word ${word.role}`} data-word=${word.id} aria-pressed=${names ? names.includes(word.id) : state.mode === "words" && state.words.includes(word.id)}
        title=${`token ${word.tokens.length > 3 ? `${word.tokens[0]} to ${word.tokens.at(-1)}` : word.tokens.join(", ")}${sums ? `: ${percent(sums[at])} of this place's attention` : ""}`}
        onClick=${() => choose(word.id)}
        onPointerEnter=${() => state.mode === "words" && set({ touched: word.id })}
        onPointerLeave=${() => set({ touched: null })}>
      ${word.text}${sums && html`<i style=${{ width: `${Math.min((100 * sums[at]) / most, 100)}%` }}></i>`}
    </button>`)}
  </nav>`;
}

export function Numbers({ map }) {
  if (!map) return null;
  const even = 1 / (map.height * map.width);
  return html`<dl class="numbers">
    <dt>brightest</dt><dd data-number="maximum">${percent(map.maximum)} <small>at row ${map.peak[0]}, column ${map.peak[1]}</small></dd>
    <dt>mean</dt><dd data-number="mean">${percent(map.mean)}</dd>
    <dt>entropy</dt><dd data-number="entropy">${map.entropy_bits.toFixed(2)} bits <small>of ${(-Math.log2(even)).toFixed(2)} when even</small></dd>
    <dt>size</dt><dd>${map.height} × ${map.width} cells</dd>
  </dl>`;
}

export function PlacesPanel({ info, state, look }) {
  const box = boxOf(state);
  if (!box) return html`<section><h2>Where a place looks</h2><p class="quiet">Move over the picture. Click to pin a place, drag to pin a region.</p></section>`;
  const words = choosable(info.images[state.image], state.branch);
  const shares = look.shares.value;
  const ranked = shares && words.map((word) => ({ ...word, share: word.tokens.reduce((sum, token) => sum + shares[token], 0) }))
    .sort((one, other) => other.share - one.share);
  return html`<section><h2>Where ${box.length === 2 ? "this place" : "this region"} looks</h2>
    <p class="quiet">${placeText(box, gridOf(info, state))}${state.cursor ? "" : " (pinned)"}</p>
    <${Numbers} map=${look.shown.value} />
    <${Pins} info=${info} state=${state} />
    ${ranked && html`<h3>Words it reads</h3><table class="shares"><tbody>
      ${ranked.slice(0, 9).map((word) => html`<tr key=${word.id} class=${word.role}><th>${word.text}</th>
        <td><i style=${{ width: `${(100 * word.share) / ranked[0].share}%` }}></i></td><td>${percent(word.share)}</td></tr>`)}
    </tbody></table>`}
  </section>`;
}

function Pins({ info, state }) {
  if (!state.pins.length) return null;
  return html`<ul class="pins" aria-label="Pins">${state.pins.map((pin, number) => html`<li key=${pin.join()}>
    <button aria-pressed=${number === (state.pin ?? 0)} onClick=${() => set({ pin: number })}>
      <b style=${{ background: PIN_COLOURS[number % PIN_COLOURS.length] }}></b>${placeText(pin, gridOf(info, state))}</button>
    <button class="bare" aria-label=${`remove pin ${number + 1}`} onClick=${() => removePin(number)}>✕</button></li>`)}</ul>`;
}

export function WordsPanel({ info, state, look }) {
  const words = choosable(info.images[state.image], state.branch).filter((word) => wordsOf(state).includes(word.id));
  if (!words.length) return html`<section><h2>Where a word landed</h2><p class="quiet">Choose a word above the picture; several are shown together.</p></section>`;
  return html`<section><h2>Where “${words.map((word) => word.text).join(" + ")}” landed</h2>
    <p class="quiet">Share of attention that one token of it gets, ${state.block === null ? "mean over all blocks" : `block ${state.block}`}.</p>
    <${Numbers} map=${look.shown.value} /></section>`;
}

const MOST_ROWS = 24;
const SLIDER = { low: 0.02, high: 2, stops: 400 };
const toSlider = (tau) => Math.round((SLIDER.stops * Math.log(tau / SLIDER.low)) / Math.log(SLIDER.high / SLIDER.low));
const fromSlider = (stop) => Number((SLIDER.low * (SLIDER.high / SLIDER.low) ** (stop / SLIDER.stops)).toPrecision(3));

export function SegmentsPanel({ info, state, look }) {
  const found = look.found.value;
  const lit = found && state.cursor?.length === 2 ? labelAt(found, state.cursor) : null;
  const tau = tauOf(info, state);
  const stops = source.LIVE ? null : source.thresholds();
  return html`<section><h2>Segments</h2>
    <label class="field"><span title="nats of symmetric KL; larger gives fewer segments">Threshold</span><div class="steps">
      ${stops
        ? html`<input type="range" min="0" max=${stops.length - 1} value=${Math.max(stops.indexOf(tau), 0)} aria-label="threshold" aria-valuetext=${tau} onInput=${(event) => set({ tau: stops[event.target.value] })} />`
        : html`<input type="range" min="0" max=${SLIDER.stops} value=${toSlider(tau)} aria-label="threshold" aria-valuetext=${tau} onInput=${(event) => set({ tau: fromSlider(event.target.value) })} />`}
      <output>${tau}</output></div></label>
    ${source.LIVE && html`<${Recipe} info=${info} state=${state} />`}
    ${found && html`<p class="quiet" role="status"><b data-number="segments">${found.segments.length}</b> segments, named by ${namers(info, state)}</p>
      ${found.segments.length > MOST_ROWS && html`<p class="quiet">the ${MOST_ROWS} largest:</p>`}
      <table class="segments"><tbody>${[...found.segments].sort((one, other) => other.area - one.area).slice(0, MOST_ROWS).map((segment) => html`
        <tr key=${segment.id} class=${segment.id === lit ? "lit" : ""}><td><b style=${{ background: cssColour(segmentColour(segment.id)) }}></b></td>
          <th>${segment.label ?? `segment ${segment.id}`}</th><td>${(100 * segment.share).toFixed(1)} %</td></tr>`)}</tbody></table>
      ${lit !== null && html`<${Scores} info=${info} state=${state} segment=${found.segments.find((segment) => segment.id === lit)} />`}
      ${source.LIVE && html`<${SegmentFiles} info=${info} state=${state} found=${found} />`}`}
  </section>`;
}

function namers(info, state) {
  const names = recipeOf(info, state).word.map((number) => info.images[state.image].words[number].text);
  return names.length ? names.join(", ") : "nothing: choose words above";
}

function Recipe({ info, state }) {
  const heights = [...new Set(layersOf(info, "self").map((layer) => layer.grid[0]))].sort((one, other) => other - one);
  const given = Object.fromEntries(state.weights.split(",").filter(Boolean).map((pair) => pair.split(":")));
  const change = (height, value) => {
    const all = heights.map((one) => [one, one === height ? value : (given[one] ?? one)]);
    set({ weights: all.map((pair) => pair.join(":")).join(",") });
  };
  const number = (name, low, high) => html`<label class="field"><span>${name[0].toUpperCase() + name.slice(1)}</span>
    <input type="number" min=${low} max=${high} value=${state[name]} onChange=${(event) => {
      const value = Number(event.target.value);
      if (Number.isInteger(value) && value >= low && value <= high) set({ [name]: value });
    }} /></label>`;
  return html`<details><summary>More</summary>
    ${number("passes", 1, 10)} ${number("anchors", 1, 32)}
    <${Check} label="segments of one name are one" name="unite" state=${state} />
    <fieldset><legend>Weight of each scale</legend>${heights.map((height) => html`<label class="field"><span>${height} high</span>
      <input type="number" min="0" max="9999" step="any" value=${given[height] ?? height} onChange=${(event) => change(height, Math.max(Number(event.target.value) || 0, 0))} /></label>`)}
      ${state.weights && html`<button onClick=${() => set({ weights: "" })}>the paper's weights</button>`}</fieldset>
  </details>`;
}

function Scores({ info, state, segment }) {
  const words = info.images[state.image].words;
  const scored = segment.scores.map((score, number) => ({ text: words[number].text, score })).sort((one, other) => other.score - one.score);
  const most = Math.max(scored[0]?.score ?? 0, 1e-12);
  return html`<h3>Words in this segment</h3><p class="quiet">relative attention, 100 for the strongest</p><table class="shares" data-segment=${segment.id}><tbody>
    ${scored.slice(0, 8).map((word) => html`<tr><th>${word.text}</th><td><i style=${{ width: `${(100 * word.score) / most}%` }}></i></td><td>${Math.round((100 * word.score) / most)}</td></tr>`)}
  </tbody></table>`;
}

function SegmentFiles({ info, state, found }) {
  const asked = { ...sourceOf(state), ...recipeOf(info, state) };
  const rle = () => save(new Blob([JSON.stringify({ height: found.height, width: found.width, thresholds: found.thresholds, segments: found.segments }, null, 1)]), "segments.json");
  return html`<p class="files">Save
    <a href=${source.labelsFile(info.number, asked, "png")} download="segments.png">PNG</a>
    <a href=${source.labelsFile(info.number, asked, "npz")} download="segments.npz">NPZ</a>
    <button class="bare" onClick=${rle}>JSON, run lengths</button></p>`;
}

export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// How numbers become colours
export function Colours({ state }) {
  return html`<details open><summary>Colours</summary>
    <${Select} label="Map" value=${state.colours} change=${(colours) => set({ colours })} options=${Object.keys(RAMPS).map((name) => [name, name])} />
    <${Select} label="Scale" value=${state.scale} change=${(scale) => set({ scale })} options=${[["linear", "linear"], ["log", "logarithmic"]]} />
    <label class="field"><span title="fixed: the same colours for every map, so that maps compare">Brightest</span><div class="steps">
      <button aria-pressed=${state.top === null} onClick=${() => set({ top: null })}>each map</button>
      <input type="number" min="0" step="any" aria-label="fixed brightest value in percent" placeholder="fixed, %" value=${state.top === null ? "" : 100 * state.top}
        onChange=${(event) => set({ top: Number(event.target.value) > 0 ? Number(event.target.value) / 100 : null })} /></div></label>
    <label class="field"><span>Opacity</span><div class="steps"><input type="range" min="0" max="1" step="0.05" aria-label="opacity" value=${state.opacity} onInput=${(event) => set({ opacity: Number(event.target.value) })} />
      <output>${Math.round(100 * state.opacity)} %</output></div></label>
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
  return html`<div class="legend" role="img" aria-label=${`colour scale, ${state.scale}, from ${percent(valueOf(0, top, state.scale))} to ${percent(top)} of attention`}>
    <canvas ref=${canvas} width="256" height="1"></canvas>
    <div class="marks">${marks.map((mark) => html`<span data-mark=${mark}>${percent(valueOf(mark, top, state.scale))}</span>`)}</div>
    <p>share of attention, ${state.scale === "log" ? "logarithmic" : "linear"}, ${range}${map.maximum > top ? " (brighter values are cut)" : ""}</p>
  </div>`;
}
