// The bar at the top: traces, modes, and what can be taken along.

import { pythonOf } from "attnscope/code";
import { Check, Select } from "attnscope/controls";
import { copy } from "attnscope/copying";
import { choose, language, LANGUAGES, t } from "attnscope/lang";
import { shownModes } from "attnscope/modes";
import { nameOf } from "attnscope/naming";
import { html } from "attnscope/preact";
import { traceOf } from "attnscope/shelf";
import * as source from "attnscope/source";
import { link, set } from "attnscope/state";
import { turnTheme } from "attnscope/theme";
import { Toolbar } from "attnscope/toolbar";
import { SaveMenu } from "attnscope/tools/savemenu";
import { firstWords, textOf } from "attnscope/words";

/** @import { Language } from "attnscope/lang" */
/** @import { State } from "attnscope/state" */
/** @import { Shown } from "attnscope/scale" */
/** @import { Fitted, TraceInfo } from "attnscope/types" */

/** @param {{ traces: TraceInfo[], first: Shown, second: Shown | null, hasStudio: boolean }} props */
export function Header({ traces, first, second, hasStudio }) {
  const { state } = first;
  return html`<header>
    <h1>attnscope</h1>
    ${traces.length > 1 && traceChoices(traces, state, hasStudio)}
    <${Toolbar} class="modes" label=${t("What to look at")}>
      ${shownModes(hasStudio).map(
        ({ name, label }, at) =>
          html`<button
            aria-pressed=${state.mode === name}
            title=${t("key {key}", { key: at + 1 })}
            onClick=${() => set({ mode: name, cursor: null })}
          >
            ${t(label)}
          </button>`,
      )}
    <//>
    <span class="gap"></span>
    <${Actions} first=${first} second=${second} />
    <${Settings} />
  </header>`;
}

/**
 * Of a studio the cards choose the first
 * @param {TraceInfo[]} traces
 * @param {Fitted} state
 * @param {boolean} hasStudio
 */
function traceChoices(traces, state, hasStudio) {
  const names = traces.map((trace) => [trace.number, nameOf(trace), true]);
  return html`${
      !hasStudio &&
      html`<${Select}
        label=${t("Trace")}
        value=${state.trace}
        options=${names}
        change=${(/** @type {number} */ trace) => set(turnTo(traces, state, trace))}
      />`
    }
    <${Select}
      label=${t("beside")}
      value=${state.other}
      options=${[[null, t("nothing")], ...names.filter(([number]) => number !== state.trace)]}
      change=${(/** @type {number | null} */ other) => set({ other, otherWords: null, otherNames: null })}
    />
    ${
      state.other !== null &&
      html`<${Check}
        label=${t("difference")}
        title=${t("where the two pictures differ")}
        name="diff"
        state=${state}
      />`
    }`;
}

/**
 * Another trace first: what belongs to the one before is left behind; a trace is not compared with itself
 * @param {TraceInfo[]} traces
 * @param {State} state
 * @param {number} trace
 * @returns {Partial<State>}
 */
export function turnTo(traces, state, trace) {
  const info = traceOf(traces, trace) ?? traces[0];
  const words = firstWords(textOf(info, { image: 0, branch: state.branch }));
  const { step } = info;
  const other = state.other === trace ? state.trace : state.other;
  const otherOnes = { other, otherWords: null, otherNames: null };
  return { trace, words, names: null, image: 0, weights: "", step, cursor: null, ...otherOnes };
}

/** @param {{ first: Shown, second: Shown | null }} props */
function Actions({ first, second }) {
  const code = () => copy(pythonOf(second ? [first, second] : [first]), t("Code"));
  return html`<div class="actions">
    ${
      source.LIVE &&
      html`<button id="copy-code" title=${t("the lines of Python that make this (c)")} onClick=${code}>
          ${t("Copy code")}
        </button>
        <button title=${t("a link that opens this view")} onClick=${() => copy(address(), t("Link"))}>
          ${t("Copy link")}
        </button>`
    }
    <${SaveMenu} first=${first} second=${second} />
  </div>`;
}

function Settings() {
  return html`<div class="settings">
    <${Languages} />
    <button title=${t("light or dark (t)")} aria-label=${t("light or dark")} onClick=${turnTheme}>◐</button>
    <button
      title=${t("what can be done here (?)")}
      aria-label=${t("help")}
      onClick=${() => set({ hint: true })}
    >
      ?
    </button>
  </div>`;
}

function Languages() {
  /** @param {{ target: HTMLSelectElement }} event */
  const take = ({ target }) => choose(/** @type {Language} */ (target.value));
  return html`<select class="languages" aria-label=${t("Language")} value=${language()} onChange=${take}>
    ${LANGUAGES.map(
      ([one, name]) =>
        html`<option value=${one} lang=${one} translate=${false} selected=${one === language()}>
          ${name}
        </option>`,
    )}
  </select>`;
}

const address = () => `${location.href.split("#")[0]}#${link()}`;
