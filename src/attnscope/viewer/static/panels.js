// The numbers beside the picture: of a place, of words.

import { placeText } from "attnscope/cells";
import { later, rich, t } from "attnscope/lang";
import { boxOf, gridOf, isPart, layersOf } from "attnscope/look";
import { percent } from "attnscope/maps";
import { pinColour } from "attnscope/marks";
import { nameOf } from "attnscope/naming";
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
    <dt>${t("brightest")}</dt>
    <dd data-number="maximum">
      ${percent(map.maximum)} <small>${t("at row {row}, column {column}", { row, column })}</small>
    </dd>
    <dt>${t("mean")}</dt>
    <dd data-number="mean">${percent(map.mean)}</dd>
    ${
      total &&
      html`<dt>${t("sum")}</dt>
        <dd data-number="sum">${percent(map.mean * map.height * map.width)} <small>${t(total)}</small></dd>`
    }
    <dt>${t("entropy")}</dt>
    <dd data-number="entropy">
      ${t("{bits} bits", { bits: map.entropy_bits.toFixed(2) })} ${" "}<small
        >${t("of {bits} when even", { bits: even.toFixed(2) })}</small
      >
    </dd>
    <dt>${t("size")}</dt>
    <dd>${t("{height} × {width} cells", { height: map.height, width: map.width })}</dd>
  </dl>`;
}

/** @typedef {"first" | "second" | null} Which */

/** Whose numbers these are. @param {{ info: TraceInfo, which: Which }} props */
export const WhichTrace = ({ info, which }) =>
  which && html`<p class="which"><b translate=${false}>${nameOf(info)}</b></p>`;

const REST = later("of its attention; the rest goes elsewhere, such as to the text");

/**
 * Whether places look at more than the picture: at the text in a joint attention
 * @param {TraceInfo} info
 * @param {Fitted} state
 */
const looksElsewhere = (info, state) =>
  layersOf(info, "self").some((layer) => isPart(layer) && [null, layer.block].includes(state.block));

/**
 * which: of two traces that stand beside each other, null where there is one
 * @typedef {{ info: TraceInfo, state: Fitted, look: Look, which: Which }} PanelProps
 */

/** @param {PanelProps} props */
export function PlacesPanel({ info, state, look, which }) {
  const box = boxOf(state);
  if (!box)
    return html`<section>
      <h2>${t("Where a place looks")}</h2>
      <p class="quiet">${t("Move over the picture. Click to pin a place, drag to pin a region.")}</p>
    </section>`;
  const words = choosable(textOf(info, state));
  const at = placeText(box, gridOf(info, state));
  return html`<section>
    <h2>${box.length === 2 ? t("Where this place looks") : t("Where this region looks")}</h2>
    <${WhichTrace} info=${info} which=${which} />
    <p class="quiet">${state.cursor ? at : t("{place} (pinned)", { place: at })}</p>
    <${Numbers} map=${look.shown.value} total=${looksElsewhere(info, state) && REST} />
    ${which !== "second" && html`<${Pins} info=${info} state=${state} />`}
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
  return html`<h3>${t("Words it reads")}</h3>
    <table class="shares">
      <tbody>
        ${ranked.slice(0, MOST_ROWS).map(
          (word) =>
            html`<tr key=${word.id} class=${word.role}>
              <th translate=${word.role !== "text"}>${word.text}</th>
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
  return html`<ul class="pins" aria-label=${t("Pins")}>
    ${state.pins.map(
      (pin, number) =>
        html`<li key=${pin.join()}>
          <button aria-pressed=${number === (state.pin ?? 0)} onClick=${() => set({ pin: number })}>
            <b style=${{ background: pinColour(number) }}></b>${placeText(pin, gridOf(info, state))}
          </button>
          <button
            class="bare"
            aria-label=${t("remove pin {number}", { number: number + 1 })}
            onClick=${() => removePin(number)}
          >
            ✕
          </button>
        </li>`,
    )}
  </ul>`;
}

/** @param {PanelProps} props */
export function WordsPanel({ info, state, look, which }) {
  const all = choosable(textOf(info, state));
  const words = all.filter((word) => wordsOf(state).includes(word.id));
  if (!words.length)
    return html`<section>
      <h2>${t("Where a word landed")}</h2>
      <${WhichTrace} info=${info} which=${which} />
      <p class="quiet">
        ${t("Choose a word above the picture; with Shift several, which are shown together.")}
      </p>
    </section>`;
  const { block } = state;
  const where = block === null ? t("mean over all blocks") : t("block {value}", { value: block });
  const joined = words.map((word) => word.text).join(" + ");
  return html`<section>
    <h2>${rich("Where “{words}” landed", { words: html`<span translate=${false}>${joined}</span>` })}</h2>
    <${WhichTrace} info=${info} which=${which} />
    <p class="quiet">${t("Share of attention that one token of it gets, {where}.", { where })}</p>
    <${Numbers} map=${look.shown.value} />
    <${Explained} info=${info} state=${state} />
  </section>`;
}
