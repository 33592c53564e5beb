// The numbers and choices of segments, and files of them.

import { html } from "preact";
import * as source from "attnscope/source";
import { Check, NumberField } from "attnscope/controls";
import { layersOf, recipeOf, sourceOf, tauOf } from "attnscope/look";
import { cssColour, segmentColour } from "attnscope/paint";
import { labelAt } from "attnscope/stage";
import { set } from "attnscope/state";

const MOST_ROWS = 24;

const SLIDER = { low: 0.02, high: 2, stops: 400 };

const toSlider = (tau) => Math.round((SLIDER.stops * Math.log(tau / SLIDER.low)) / Math.log(SLIDER.high / SLIDER.low));

const fromSlider = (stop) => Number((SLIDER.low * (SLIDER.high / SLIDER.low) ** (stop / SLIDER.stops)).toPrecision(3));

export function SegmentsPanel({ info, state, look }) {
  const found = look.found.value;
  const lit = found && state.cursor?.length === 2 ? labelAt(found, state.cursor) : null;
  const tau = tauOf(info, state);
  const stops = source.LIVE ? null : source.thresholds();
  return html`<section>
    <h2>Segments</h2>
    <label class="field"
      ><span title="nats of symmetric KL; larger gives fewer segments">Threshold</span>
      <div class="steps">
        ${
          stops
            ? html`<input
                type="range"
                min="0"
                max=${stops.length - 1}
                value=${Math.max(stops.indexOf(tau), 0)}
                aria-label="threshold"
                aria-valuetext=${tau}
                onInput=${(event) => set({ tau: stops[event.target.value] })}
              />`
            : html`<input
                type="range"
                min="0"
                max=${SLIDER.stops}
                value=${toSlider(tau)}
                aria-label="threshold"
                aria-valuetext=${tau}
                onInput=${(event) => set({ tau: fromSlider(event.target.value) })}
              />`
        }
        <output>${tau}</output>
      </div></label
    >
    ${source.LIVE && html`<${Recipe} info=${info} state=${state} />`}
    ${
      found &&
      html`<p class="quiet" role="status">
          <b data-number="segments">${found.segments.length}</b> segments, named by ${namers(info, state)}
        </p>
        ${found.segments.length > MOST_ROWS && html`<p class="quiet">the ${MOST_ROWS} largest:</p>`}
        <table class="segments">
          <tbody>
            ${[...found.segments]
              .sort((one, other) => other.area - one.area)
              .slice(0, MOST_ROWS)
              .map(
                (segment) =>
                  html` <tr key=${segment.id} class=${segment.id === lit ? "lit" : ""}>
                    <td><b style=${{ background: cssColour(segmentColour(segment.id)) }}></b></td>
                    <th>${segment.label ?? `segment ${segment.id}`}</th>
                    <td>${(100 * segment.share).toFixed(1)} %</td>
                  </tr>`,
              )}
          </tbody>
        </table>
        ${lit !== null && html`<${Scores} info=${info} state=${state} segment=${found.segments.find((segment) => segment.id === lit)} />`}
        ${source.LIVE && html`<${SegmentFiles} info=${info} state=${state} found=${found} />`}`
    }
  </section>`;
}

function namers(info, state) {
  const names = recipeOf(info, state).word.map((number) => info.images[state.image].words[number].text);
  return names.length ? names.join(", ") : "nothing: choose words above";
}

function Recipe({ info, state }) {
  const heights = [...new Set(layersOf(info, "self").map((layer) => layer.grid[0]))].sort((one, other) => other - one);
  const given = Object.fromEntries(
    state.weights
      .split(",")
      .filter(Boolean)
      .map((pair) => pair.split(":")),
  );
  const change = (height, value) => {
    const all = heights.map((one) => [one, one === height ? value : (given[one] ?? one)]);
    set({ weights: all.map((pair) => pair.join(":")).join(",") });
  };
  const number = (name, low, high) =>
    html`<label class="field"
      ><span>${name[0].toUpperCase() + name.slice(1)}</span>
      <${NumberField}
        label=${name}
        low=${low}
        high=${high}
        whole
        value=${state[name]}
        change=${(value) => set({ [name]: value })}
    /></label>`;
  return html`<details>
    <summary>More</summary>
    ${number("passes", 1, 10)} ${number("anchors", 1, 32)}
    <${Check} label="segments of one name are one" name="unite" state=${state} />
    <fieldset>
      <legend>Weight of each scale</legend>
      ${heights.map(
        (height) =>
          html`<label class="field"
            ><span>${height} high</span>
            <${NumberField}
              label=${`weight of ${height} high`}
              low=${0}
              high=${9999}
              value=${Number(given[height] ?? height)}
              change=${(value) => change(height, value)}
          /></label>`,
      )}
      ${state.weights && html`<button onClick=${() => set({ weights: "" })}>the paper's weights</button>`}
    </fieldset>
  </details>`;
}

function Scores({ info, state, segment }) {
  const words = info.images[state.image].words;
  const scored = segment.scores
    .map((score, number) => ({ text: words[number].text, score }))
    .sort((one, other) => other.score - one.score);
  const most = Math.max(scored[0]?.score ?? 0, 1e-12);
  return html`<h3>Words in this segment</h3>
    <p class="quiet">relative attention, 100 for the strongest</p>
    <table class="shares" data-segment=${segment.id}>
      <tbody>
        ${scored.slice(0, 8).map(
          (word) =>
            html`<tr>
              <th>${word.text}</th>
              <td><i style=${{ width: `${(100 * word.score) / most}%` }}></i></td>
              <td>${Math.round((100 * word.score) / most)}</td>
            </tr>`,
        )}
      </tbody>
    </table>`;
}

function SegmentFiles({ info, state, found }) {
  const asked = { ...sourceOf(state), ...recipeOf(info, state) };
  const rle = () =>
    save(
      new Blob([
        JSON.stringify(
          { height: found.height, width: found.width, thresholds: found.thresholds, segments: found.segments },
          null,
          1,
        ),
      ]),
      "segments.json",
    );
  return html`<p class="files">
    Save
    <a href=${source.labelsFile(info.number, asked, "png")} download="segments.png">PNG</a>
    <a href=${source.labelsFile(info.number, asked, "npz")} download="segments.npz">NPZ</a>
    <button class="bare" onClick=${rle}>JSON, run lengths</button>
  </p>`;
}

export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
