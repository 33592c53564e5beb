// The bar at the top: traces, modes, and what can be taken along.

import { pythonOf } from "attnscope/code";
import { Select } from "attnscope/controls";
import { t } from "attnscope/lang";
import { shownModes } from "attnscope/modes";
import { html, useState } from "attnscope/preact";
import { traceOf } from "attnscope/shelf";
import * as source from "attnscope/source";
import { link, set } from "attnscope/state";
import { turnTheme } from "attnscope/theme";
import { SaveMenu } from "attnscope/tools/savemenu";
import { firstWords, textOf } from "attnscope/words";

/** @import { State } from "attnscope/state" */
/** @import { FieldMap, Fitted, Look, TraceInfo } from "attnscope/types" */

/** @param {{ traces: TraceInfo[], info: TraceInfo, state: Fitted, look: Look, hasStudio: boolean }} props */
export function Header({ traces, info, state, look, hasStudio }) {
  return html`<header>
    <h1>attnscope</h1>
    ${traces.length > 1 && traceChoices(traces, state)}
    <div class="modes" role="group" aria-label="What to look at">
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
    </div>
    <span class="gap"></span>
    <${Actions} info=${info} state=${state} map=${look.shown.value} />
  </header>`;
}

/**
 * @param {TraceInfo[]} traces
 * @param {Fitted} state
 */
function traceChoices(traces, state) {
  const names = traces.map((trace) => [trace.number, trace.name]);
  return html` <${Select}
      label="Trace"
      value=${state.trace}
      options=${names}
      change=${(/** @type {number} */ trace) => set(turnTo(traces, state, trace))}
    />
    <${Select}
      label="beside"
      value=${state.other}
      options=${[[null, "nothing"], ...names.filter(([number]) => number !== state.trace)]}
      change=${(/** @type {number | null} */ other) => set({ other })}
    />`;
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
  return { trace, words, names: null, image: 0, weights: "", step, cursor: null, other };
}

const TOLD_MS = 1800;

/** @param {{ info: TraceInfo, state: Fitted, map: FieldMap | null }} props */
function Actions({ info, state, map }) {
  const [told, tell] = useState("");
  /** @param {string} text @param {string} what */
  const copy = async (text, what) => {
    if (!navigator.clipboard) {
      prompt(`${what}, to copy:`, text); // browsers give a clipboard to https and this machine only
      return;
    }
    await navigator.clipboard.writeText(text);
    tell(`${what} copied`);
    setTimeout(() => tell(""), TOLD_MS);
  };
  return html`<span class="told" role="status">${told}</span>
    ${
      source.LIVE &&
      html`<button
          id="copy-code"
          title="the lines of Python that make this (c)"
          onClick=${() => copy(pythonOf(info, { ...state, cursor: null }), "Code")}
        >
          Copy code
        </button>
        <button title="a link that opens this view" onClick=${() => copy(address(), "Link")}>
          Copy link
        </button>`
    }
    <${SaveMenu} info=${info} state=${state} map=${map} />
    <button title="light or dark (t)" aria-label="light or dark" onClick=${turnTheme}>◐</button>
    <button title="what can be done here (?)" aria-label="help" onClick=${() => set({ hint: true })}>
      ?
    </button>`;
}

const address = () => `${location.href.split("#")[0]}#${link()}`;
