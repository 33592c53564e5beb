// The numbers of segments, and files of them.

import { labelAt } from "attnscope/labels";
import { listed, rich, t } from "attnscope/lang";
import { recipeOf, sourceOf } from "attnscope/look";
import { cssColour } from "attnscope/paint";
import { WhichTrace } from "attnscope/panels";
import { html } from "attnscope/preact";
import { Recipe, Threshold } from "attnscope/recipe";
import { save } from "attnscope/saving";
import * as source from "attnscope/source";
import { textOf } from "attnscope/words";

/** @import { PanelProps } from "attnscope/panels" */
/** @import { Fitted, Found, SegmentInfo, TraceInfo } from "attnscope/types" */

/** The recipe is the same for two traces. @param {PanelProps} props */
export function SegmentsPanel({ info, state, look, which }) {
  const found = look.found.value;
  return html`<section>
    <h2>${t("Segments")}</h2>
    ${which !== "second" && html`<${Threshold} info=${info} state=${state} />`}
    ${which !== "second" && source.LIVE && html`<${Recipe} info=${info} state=${state} />`}
    <${WhichTrace} info=${info} which=${which} />
    ${found && html`<${Segments} info=${info} state=${state} found=${found} />`}
  </section>`;
}

const MOST_ROWS = 24;

/** @param {{ info: TraceInfo, state: Fitted, found: Found }} props */
function Segments({ info, state, found }) {
  const lit = litSegment(found, state);
  const largest = [...found.segments].sort((one, other) => other.area - one.area).slice(0, MOST_ROWS);
  const count = found.segments.length;
  const shown = found.segments.find((segment) => segment.id === lit);
  return html`<p class="quiet" role="status">
      ${rich("{count} segments, named by {words}", {
        count: html`<b data-number="segments">${count}</b>`,
        words: namers(info, state),
      })}
    </p>
    ${count > MOST_ROWS && html`<p class="quiet">${t("the {count} largest:", { count: MOST_ROWS })}</p>`}
    <table class="segments">
      <tbody>
        ${largest.map(
          (segment) =>
            html` <tr key=${segment.id} class=${segment.id === lit ? "lit" : ""}>
              <td><b style=${{ background: cssColour(found.colours[segment.id]) }}></b></td>
              <th translate=${segment.label === null}>${nameOf(segment)}</th>
              <td>${(100 * segment.share).toFixed(1)} %</td>
            </tr>`,
        )}
      </tbody>
    </table>
    ${shown && html`<${Scores} info=${info} state=${state} segment=${shown} />`}
    ${source.LIVE && html`<${SegmentFiles} info=${info} state=${state} found=${found} />`}`;
}

/** @param {SegmentInfo} segment */
const nameOf = ({ label, id }) => label ?? t("segment {id}", { id });

/**
 * The segment under the cursor
 * @param {Found | null} found
 * @param {Fitted} state
 */
export function litSegment(found, { cursor }) {
  return found && cursor?.length === 2 ? labelAt(found, cursor) : null;
}

/**
 * @param {TraceInfo} info
 * @param {Fitted} state
 */
function namers(info, state) {
  const names = recipeOf(info, state).word.map((number) => textOf(info, state).words[number].text);
  if (!names.length) return t("nothing: choose words above");
  return html`<span translate=${false}>${listed(names)}</span>`;
}

const MOST_WORDS = 8;

/** @param {{ info: TraceInfo, state: Fitted, segment: SegmentInfo }} props */
function Scores({ info, state, segment }) {
  const words = textOf(info, state).words;
  const scored = segment.scores
    .map((score, number) => ({ text: words[number].text, score }))
    .sort((one, other) => other.score - one.score);
  const most = Math.max(scored[0]?.score ?? 0, 1e-12);
  return html`<h3>${t("Words in this segment")}</h3>
    <p class="quiet">${t("relative attention, 100 for the strongest")}</p>
    <table class="shares" data-segment=${segment.id}>
      <tbody>
        ${scored.slice(0, MOST_WORDS).map(
          (word) =>
            html`<tr>
              <th translate=${false}>${word.text}</th>
              <td><i style=${{ width: `${(100 * word.score) / most}%` }}></i></td>
              <td>${Math.round((100 * word.score) / most)}</td>
            </tr>`,
        )}
      </tbody>
    </table>`;
}

/** @param {{ info: TraceInfo, state: Fitted, found: Found }} props */
function SegmentFiles({ info, state, found }) {
  const asked = { ...sourceOf(state), ...recipeOf(info, state) };
  return html`<p class="files">
    ${t("Save")}
    <a href=${source.labelsFile(info.number, asked, "png")} download="segments.png">PNG</a>
    <a href=${source.labelsFile(info.number, asked, "npz")} download="segments.npz">NPZ</a>
    <button class="bare" onClick=${() => saveRunLengths(found)}>${t("JSON, run lengths")}</button>
  </p>`;
}

/** @param {Found} found */
function saveRunLengths({ height, width, thresholds, segments }) {
  const text = JSON.stringify({ height, width, thresholds, segments }, null, 1);
  save(new Blob([text]), "segments.json");
}
