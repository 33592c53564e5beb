// The bar at the top: traces, modes, and what can be taken along.

import { pythonOf } from "attnscope/code";
import { Select } from "attnscope/controls";
import { choose, language, LANGUAGES, t } from "attnscope/lang";
import { boxOf, viewOf } from "attnscope/look";
import { MODES } from "attnscope/modes";
import { html, useState } from "attnscope/preact";
import { save, sideBySide } from "attnscope/saving";
import { traceOf } from "attnscope/shelf";
import * as source from "attnscope/source";
import { link, set } from "attnscope/state";
import { turnTheme } from "attnscope/theme";
import { firstWords, textOf, tokensOf } from "attnscope/words";

/** @import { Language } from "attnscope/lang" */
/** @import { State } from "attnscope/state" */
/** @import { FieldMap, Fitted, Look, TraceInfo } from "attnscope/types" */

/** @param {{ traces: TraceInfo[], info: TraceInfo, state: Fitted, look: Look }} props */
export function Header({ traces, info, state, look }) {
  return html`<header>
    <h1>attnscope</h1>
    ${traces.length > 1 && traceChoices(traces, state)}
    <div class="modes" role="group" aria-label=${t("What to look at")}>
      ${MODES.filter((mode) => source.LIVE || !mode.live).map(
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
      label=${t("Trace")}
      value=${state.trace}
      options=${names}
      change=${(/** @type {number} */ trace) => set(turnTo(traces, state, trace))}
    />
    <${Select}
      label=${t("beside")}
      value=${state.other}
      options=${[[null, t("nothing")], ...names.filter(([number]) => number !== state.trace)]}
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
      prompt(t("{what}, to copy:", { what }), text); // browsers give a clipboard to https and this machine only
      return;
    }
    await navigator.clipboard.writeText(text);
    tell(t("{what} copied", { what }));
    setTimeout(() => tell(""), TOLD_MS);
  };
  const file = mapFile(info, state);
  return html`<span class="told" role="status">${told}</span>
    ${
      source.LIVE &&
      html`<button
          id="copy-code"
          title=${t("the lines of Python that make this (c)")}
          onClick=${() => copy(pythonOf(info, { ...state, cursor: null }), t("Code"))}
        >
          ${t("Copy code")}
        </button>
        <button title=${t("a link that opens this view")} onClick=${() => copy(address(), t("Link"))}>
          ${t("Copy link")}
        </button>`
    }
    <button id="save-png" title=${t("the picture with its map")} onClick=${savePicture}>PNG</button>
    ${
      file &&
      map &&
      html`<a
        class="button"
        id="save-npz"
        href=${file}
        download="attention.npz"
        title=${t("the map's numbers for numpy.load")}
        >NPZ</a
      >`
    }
    <${Languages} />
    <button title=${t("light or dark (t)")} aria-label=${t("light or dark")} onClick=${turnTheme}>◐</button>
    <button title=${t("what can be done here (?)")} aria-label=${t("help")} onClick=${() => set({ hint: true })}>
      ?
    </button>`;
}

function Languages() {
  /** @param {{ target: HTMLSelectElement }} event */
  const take = ({ target }) => choose(/** @type {Language} */ (target.value));
  return html`<select class="languages" aria-label=${t("Language")} value=${language()} onChange=${take}>
    ${LANGUAGES.map(
      ([one, name]) =>
        html`<option value=${one} lang=${one} translate="no" selected=${one === language()}>${name}</option>`,
    )}
  </select>`;
}

const address = () => `${location.href.split("#")[0]}#${link()}`;

function savePicture() {
  /** @type {NodeListOf<HTMLCanvasElement>} */
  const canvases = document.querySelectorAll(".stage canvas");
  sideBySide([...canvases]).toBlob((blob) => blob && save(blob, "attention.png"));
}

/**
 * Where the map's numbers are, null for none: segments have files of their own, an exported page has none
 * @param {TraceInfo} info
 * @param {State} state
 */
function mapFile(info, state) {
  if (!source.LIVE) return null;
  const box = boxOf(state);
  if (state.mode === "places" && box) return source.placeFile(info.number, viewOf(state), box, "npz");
  const tokens = tokensOf(textOf(info, state), state.words);
  if (state.mode !== "words" || !tokens.length) return null;
  return source.wordsFile(info.number, viewOf(state), tokens, "npz");
}
