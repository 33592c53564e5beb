// The numbers beside the picture: of a place, of words.

import { placeText } from "attnscope/cells";
import { boxOf, gridOf, isPart, layersOf } from "attnscope/look";
import { percent } from "attnscope/maps";
import { pinColour } from "attnscope/marks";
import { removePin } from "attnscope/pins";
import { html } from "attnscope/preact";
import { shareOf } from "attnscope/prompt";
import { set } from "attnscope/state";
import { Explained } from "attnscope/tools/explained";
import { choosable, textOf, wordsOf } from "attnscope/words";

/** @import { ChoosableWord, FieldMap, Fitted, Look, TraceInfo } from "attnscope/types" */

/**
 * total: what the sum of the map is, where it is less than all
 * @param {{ map: FieldMap | null, total?: string | false }} props
 */
function Numbers({ map, total }) {
  if (!map) return null;
  const [row, column] = map.peak;
  const even = Math.log2(map.height * map.width);
  return html`<dl class="numbers">
    <dt>brightest</dt>
    <dd data-number="maximum">${percent(map.maximum)} <small>at row ${row}, column ${column}</small></dd>
    <dt>mean</dt>
    <dd data-number="mean">${percent(map.mean)}</dd>
    ${
      total &&
      html`<dt>sum</dt>
        <dd data-number="sum">${percent(map.mean * map.height * map.width)} <small>${total}</small></dd>`
    }
    <dt>entropy</dt>
    <dd data-number="entropy">
      ${map.entropy_bits.toFixed(2)} bits <small>of ${even.toFixed(2)} when even</small>
    </dd>
    <dt>size</dt>
    <dd>${map.height} × ${map.width} cells</dd>
  </dl>`;
}

const REST = "of its attention; the rest goes elsewhere, such as to the text";

/**
 * Whether places look at more than the picture: at the text in a joint attention
 * @param {TraceInfo} info
 * @param {Fitted} state
 */
const looksElsewhere = (info, state) =>
  layersOf(info, "self").some((layer) => isPart(layer) && [null, layer.block].includes(state.block));

/** @param {{ info: TraceInfo, state: Fitted, look: Look }} props */
export function PlacesPanel({ info, state, look }) {
  const box = boxOf(state);
  if (!box)
    return html`<section>
      <h2>Where a place looks</h2>
      <p class="quiet">Move over the picture. Click to pin a place, drag to pin a region.</p>
    </section>`;
  const words = choosable(textOf(info, state));
  return html`<section>
    <h2>Where ${box.length === 2 ? "this place" : "this region"} looks</h2>
    <p class="quiet">${placeText(box, gridOf(info, state))}${state.cursor ? "" : " (pinned)"}</p>
    <${Numbers} map=${look.shown.value} total=${looksElsewhere(info, state) && REST} />
    <${Pins} info=${info} state=${state} />
    ${look.shares.value && wordShares(words, look.shares.value)}
  </section>`;
}

const MOST_ROWS = 9;

/**
 * @param {ChoosableWord[]} words
 * @param {ArrayLike<number>} shares
 */
function wordShares(words, shares) {
  const ranked = words
    .map((word) => ({ ...word, share: shareOf(word, shares) }))
    .sort((one, other) => other.share - one.share);
  return html`<h3>Words it reads</h3>
    <table class="shares">
      <tbody>
        ${ranked.slice(0, MOST_ROWS).map(
          (word) =>
            html`<tr key=${word.id} class=${word.role}>
              <th>${word.text}</th>
              <td><i style=${{ width: `${(100 * word.share) / ranked[0].share}%` }}></i></td>
              <td>${percent(word.share)}</td>
            </tr>`,
        )}
      </tbody>
    </table>`;
}

/** @param {{ info: TraceInfo, state: Fitted }} props */
function Pins({ info, state }) {
  if (!state.pins.length) return null;
  return html`<ul class="pins" aria-label="Pins">
    ${state.pins.map(
      (pin, number) =>
        html`<li key=${pin.join()}>
          <button aria-pressed=${number === (state.pin ?? 0)} onClick=${() => set({ pin: number })}>
            <b style=${{ background: pinColour(number) }}></b>${placeText(pin, gridOf(info, state))}
          </button>
          <button class="bare" aria-label=${`remove pin ${number + 1}`} onClick=${() => removePin(number)}>
            ✕
          </button>
        </li>`,
    )}
  </ul>`;
}

/** @param {{ info: TraceInfo, state: Fitted, look: Look }} props */
export function WordsPanel({ info, state, look }) {
  const all = choosable(textOf(info, state));
  const words = all.filter((word) => wordsOf(state).includes(word.id));
  if (!words.length)
    return html`<section>
      <h2>Where a word landed</h2>
      <p class="quiet">Choose a word above the picture; several are shown together.</p>
    </section>`;
  const where = state.block === null ? "mean over all blocks" : `block ${state.block}`;
  return html`<section>
    <h2>Where “${words.map((word) => word.text).join(" + ")}” landed</h2>
    <p class="quiet">${`Share of attention that one token of it gets, ${where}.`}</p>
    <${Numbers} map=${look.shown.value} />
    <${Explained} info=${info} state=${state} />
  </section>`;
}
