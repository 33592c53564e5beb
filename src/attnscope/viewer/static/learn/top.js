// The keys with the largest shares, in numbers. Hovering a row, or focusing it, looks at its key everywhere.

import { t } from "attnscope/lang";
import { number } from "attnscope/learn/numbers";
import { percent } from "attnscope/maps";
import { html } from "attnscope/preact";

/** @import { Computed, Focus } from "attnscope/learn/types" */

const ROWS = 8;

/**
 * Those with the largest shares; where it is none of them, the last is the one that is looked at. Always as
 * many, so that nothing moves under the pointer
 * @param {Computed} computed
 * @param {number} key
 * @param {number} most
 */
export function rowsOf({ info }, key, most) {
  const top = info.top.slice(0, most);
  return top.includes(key) ? top : [...top.slice(0, -1), key];
}

/**
 * A row's first cell: a button that looks at the key
 * @param {Focus} focus
 * @param {number} key
 */
export const keyButton = (focus, key) =>
  html`<th scope="row">
    <button
      class="learn-key"
      onClick=${() => focus.choose(key)}
      onFocus=${() => focus.hover(key)}
      onBlur=${() => focus.hover(null)}
    >
      ${focus.name(key)}
    </button>
  </th>`;

/**
 * @param {Focus} focus
 * @param {number} key
 */
export const rowEvents = (focus, key) => ({
  class: key === focus.key ? "lit" : "",
  onPointerEnter: () => focus.hover(key),
  onPointerLeave: () => focus.hover(null),
});

/** @param {{ computed: Computed, focus: Focus }} props */
export function Top({ computed, focus }) {
  const { scores, scaled, exponentials, used, info } = computed;
  const most = used[info.top[0]] || 1;
  return html`<table class="learn-top">
    <thead>
      <tr>
        <th>${t("Key")}</th>
        <th class="wide">q·k</th>
        <th class="wide">${t("scaled")}</th>
        <th class="wide">exp</th>
        <th colspan="2">${t("share")}</th>
      </tr>
    </thead>
    <tbody>
      ${rowsOf(computed, focus.key, ROWS).map(
        (key, at) =>
          html`<tr key=${at} ...${rowEvents(focus, key)} data-key=${key}>
            ${keyButton(focus, key)}
            <td class="wide">${number(scores[key])}</td>
            <td class="wide">${number(scaled[key])}</td>
            <td class="wide">${number(exponentials[key])}</td>
            <td class="learn-bar"><i style=${{ width: `${(100 * used[key]) / most}%` }}></i></td>
            <td>${percent(used[key])}</td>
          </tr>`,
      )}
    </tbody>
  </table>`;
}
