// The page: header, words, one or two panes, panels.

import { useView } from "attnscope/asking";
import { besideOf, commonTop } from "attnscope/beside";
import { Blocks } from "attnscope/blocks";
import { Choices } from "attnscope/choices";
import { Colours, Legend } from "attnscope/colours";
import { Opacity } from "attnscope/controls";
import { fitted } from "attnscope/fitted";
import { Header } from "attnscope/header";
import { Hint, wasSeen } from "attnscope/hint";
import { onKey } from "attnscope/keys";
import { languageOf, speak, t, useLanguage } from "attnscope/lang";
import { layersOf } from "attnscope/look";
import { modeOf } from "attnscope/modes";
import { html, render, useEffect } from "attnscope/preact";
import { PromptBar } from "attnscope/prompt";
import { useLook } from "attnscope/questions";
import { openTraces, put, traceOf, useTraces } from "attnscope/shelf";
import * as source from "attnscope/source";
import { Pane } from "attnscope/stage";
import { get, open, set } from "attnscope/state";
import { Form } from "attnscope/studio/form";
import { Forming, Welcome } from "attnscope/studio/forming";
import { History } from "attnscope/studio/history";
import { heed } from "attnscope/studio/looking";
import { follow, isOver, runOf, useStudio } from "attnscope/studio/news";
import { cutSpoken } from "attnscope/tools/cutting";
import { firstWords, textOf } from "attnscope/words";

/** @import { State } from "attnscope/state" */
/** @import { Fitted, Look, TraceInfo } from "attnscope/types" */

/** @param {{ hasStudio: boolean }} props */
function App({ hasStudio }) {
  const state = useView();
  const traces = useTraces();
  const studio = useStudio();
  useLanguage();
  const run = runOf(studio, state.run);
  const info = traceOf(traces, state.trace) ?? traces[0] ?? null;
  useEffect(() => {
    document.documentElement.dataset.theme = state.theme;
    document.title = `${run?.name ?? info?.name ?? t("studio")} · attnscope`;
  });
  const isForming = studio && run && (!isOver(run) || run.trace === null);
  return html`<div class=${hasStudio ? "page studio" : "page"}>
    ${(isForming || !info) && html`<${TitleBar} /><${Form} state=${state} />`}
    ${isForming && html`<${Forming} run=${run} state=${state} model=${studio.model} />`}
    ${!isForming && !info && html`<${Welcome} />`}
    ${
      !isForming &&
      info &&
      html`<${Looking} traces=${traces} info=${info} state=${state} hasStudio=${hasStudio} />`
    }
    ${hasStudio && html`<${History} state=${state} />`}
  </div>`;
}

/** @param {{ traces: TraceInfo[], info: TraceInfo, state: State, hasStudio: boolean }} props */
function Looking({ traces, info, state, hasStudio }) {
  const other = traceOf(traces, state.other);
  const own = fitted(info, state);
  const beside = other ? besideOf(info, other, own) : own;
  const look = useLook(info, own);
  const otherLook = useLook(other, beside);
  const top = state.top ?? (other ? commonTop(look, otherLook) : null);
  const { Panel, maps } = modeOf(own.mode);
  const shares = own.mode === "places" ? look.shares.value : null;
  return html` <${Header} traces=${traces} info=${info} state=${own} look=${look} hasStudio=${hasStudio} />
    ${hasStudio && html`<${Form} state=${state} />`}
    <${PromptBar} info=${info} state=${own} shares=${shares} />
    <main class=${other ? "two" : maps ? "one with-blocks" : "one"}>
      <${Pane}
        info=${info}
        state=${{ ...own, top }}
        look=${look}
        label=${t("first trace")}
        compact=${other !== null}
      />
      ${
        other &&
        html`<${Pane}
          key=${other.number}
          info=${other}
          state=${{ ...beside, top }}
          look=${otherLook}
          label=${t("second trace")}
          compact
        />`
      }
      ${!other && maps && html`<${Blocks} info=${info} state=${own} blocks=${look.blocks} />`}
      <${Legend} state=${own} top=${top} map=${look.shown.value ?? otherLook.shown.value} />
    </main>
    <aside aria-label=${t("Choices and numbers")}>
      <${Choices} info=${info} state=${own} busy=${look.shown.busy} />
      <${Panel} info=${info} state=${own} look=${look} />
      ${maps ? html`<${Colours} state=${own} />` : html`<section><${Opacity} state=${own} /></section>`}
    </aside>
    <${Hint} />
    <p class="spoken" role="status" aria-live="polite">${spoken(own, look)}</p>`;
}

const TitleBar = () => html`<header><h1>attnscope</h1></header>`;

/**
 * @param {Fitted} state
 * @param {Look} look
 */
function spoken(state, look) {
  const [map, found] = [look.shown.value, look.found.value];
  if (state.mode === "cutout") return cutSpoken(look.cut.value);
  if (state.mode === "segments") return found ? `${found.segments.length} segments` : "";
  return map && state.cursor ? `brightest at row ${map.peak[0]}, column ${map.peak[1]}` : "";
}

/** @param {HTMLElement} root */
async function start(root) {
  speak(languageOf(location.search, navigator.languages));
  try {
    const { traces, studio } = await source.traces();
    put(traces);
    openFirst(traces, studio);
    set({ hint: !studio && !wasSeen() });
    addEventListener("keydown", (event) => onKey(event, openTraces()));
    addEventListener("hashchange", () => {
      open(location.hash);
      keepToTraces();
    });
    if (studio) follow(heed);
    root.replaceChildren();
    render(html`<${App} hasStudio=${studio} />`, root);
  } catch (error) {
    root.textContent = /** @type {Error} */ (error).message;
  }
}

/**
 * @param {TraceInfo[]} traces
 * @param {boolean} studio
 */
function openFirst(traces, studio) {
  const first = studio ? traces.at(-1) : traces[0];
  const second = studio ? null : (traces[1] ?? null);
  open(location.hash, first ? defaultsOf(first, second) : { pins: [[0.5, 0.5]] });
  keepToTraces();
}

/**
 * What traces open with, where the address says nothing
 * @param {TraceInfo} first
 * @param {TraceInfo | null} second
 * @returns {Partial<State>}
 */
const defaultsOf = (first, second) => ({
  trace: first.number,
  other: second?.number ?? null,
  words: firstWords(textOf(first, { image: 0, branch: "cond" })),
  step: first.step,
  pins: [[0.5, 0.5]],
  mode: layersOf(first, "self").length ? "places" : "words",
});

/** A link may name traces that are not open here */
function keepToTraces() {
  const [traces, { trace, other }] = [openTraces(), get()];
  const first = traceOf(traces, trace) ?? traces[0];
  if (!first) return;
  set({ trace: first.number, other: other !== first.number && traceOf(traces, other) ? other : null });
}

const root = document.getElementById("app");
if (root) start(root);
