// The page: header, words, one or two panes, panels.

import { useView } from "attnscope/asking";
import { besideOf } from "attnscope/beside";
import { Blocks } from "attnscope/blocks";
import { Choices } from "attnscope/choices";
import { Colours, Legend } from "attnscope/colours";
import { Opacity } from "attnscope/controls";
import { Told } from "attnscope/copying";
import { fitted } from "attnscope/fitted";
import { Header } from "attnscope/header";
import { Hint, wasSeen } from "attnscope/hint";
import { onKey, onKeyUp } from "attnscope/keys";
import { languageOf, speak, t, useLanguage } from "attnscope/lang";
import { layersOf } from "attnscope/look";
import { modeOf } from "attnscope/modes";
import { html, render, useEffect } from "attnscope/preact";
import { PromptBar } from "attnscope/prompt";
import { useLook } from "attnscope/questions";
import { languageOfError } from "attnscope/refused";
import { scaleOf, waiting } from "attnscope/scale";
import { openTraces, put, traceOf, useTraces } from "attnscope/shelf";
import { Skip, toPicture } from "attnscope/skip";
import * as source from "attnscope/source";
import { Pane } from "attnscope/stage";
import { get, open, set } from "attnscope/state";
import { Difference } from "attnscope/studio/difference";
import { Form } from "attnscope/studio/form";
import { Forming, Welcome } from "attnscope/studio/forming";
import { History } from "attnscope/studio/history";
import { heed, isBefore } from "attnscope/studio/looking";
import { follow, isOver, runOf, useStudio } from "attnscope/studio/news";
import { cutSpoken } from "attnscope/tools/cutting";
import { firstWords, textOf } from "attnscope/words";

/** @import { Mode } from "attnscope/modes" */
/** @import { Shown } from "attnscope/scale" */
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
  const shown = useShown(traces, isForming ? null : info, state);
  const Page = shown?.mode.Page;
  // the form stays where it is in the document, whatever stands around it, so that it keeps the focus
  return html`<div class=${hasStudio ? "page studio" : "page"}>
    <div class="around">
      ${shown && !Page && html`<${Skip} />`}
      ${
        shown
          ? html`<${Header}
              traces=${traces}
              first=${shown.first}
              second=${Page ? null : shown.second}
              hasStudio=${hasStudio}
            />`
          : html`<${TitleBar} />`
      }
    </div>
    ${hasStudio && !Page && html`<${Form} state=${state} />`}
    <div class="around">
      ${isForming && html`<${Forming} run=${run} state=${state} model=${studio.model} />`}
      ${!info && !run && html`<${Welcome} />`}
      ${Page && html`<${Page} info=${shown.first.info} state=${shown.first.state} />`}
      ${shown && !Page && looking(shown)}
      ${shown && html`<${Hint} /><${Told} />`}
      ${hasStudio && html`<${History} state=${state} />`}
    </div>
  </div>`;
}

/** @typedef {{ first: Shown, second: Shown | null, mode: Mode }} ShownTraces */

/**
 * What is looked at: a trace, perhaps beside another one; null while there is none
 * @param {TraceInfo[]} traces
 * @param {TraceInfo | null} info
 * @param {State} state
 * @returns {ShownTraces | null}
 */
function useShown(traces, info, state) {
  const other = info && traceOf(traces, state.other);
  const own = info && fitted(info, state);
  const beside = own && other ? besideOf(info, other, own) : own;
  const [look, otherLook] = [useLook(info, own), useLook(other, beside)];
  if (!info || !own || !beside) return null;
  const second = other && { info: other, state: beside, look: otherLook };
  return { first: { info, state: own, look }, second, mode: modeOf(own.mode) };
}

/** @param {ShownTraces} props */
function looking({ first, second, mode }) {
  const { info, state } = first;
  return html`<${PromptBar} first=${withShares(first)} second=${second && withShares(second)} />
    ${pictures(first, second, mode)}
    <aside aria-label=${t("Choices and numbers")} tabindex="-1">
      <${Choices} info=${info} state=${state} busy=${first.look.shown.busy} />
      <${mode.Panel} ...${first} which=${second && "first"} />
      ${second && mode.both && html`<${mode.Panel} ...${second} which="second" />`}
      ${
        mode.maps
          ? html`<${Colours} state=${state} />`
          : html`<section><${Opacity} state=${state} /></section>`
      }
    </aside>
    <p class="spoken" role="status" aria-live="polite">${spoken(state, first.look)}</p>`;
}

const TitleBar = () => html`<header><h1>attnscope</h1></header>`;

/**
 * One or two panes, the blocks, the legend
 * @param {Shown} first
 * @param {Shown | null} second
 * @param {Mode} mode
 */
function pictures(first, second, { maps }) {
  const scale = scaleOf(second ? [first, second] : [first]);
  const look = waiting(first.look, scale);
  const top = scale.top ?? null;
  const differs = second && first.state.diff;
  const own = html`<${Pane}
    key=${first.info.number}
    ...${first}
    look=${look}
    top=${top}
    label=${t("first trace")}
    compact=${second !== null}
  />`;
  const others =
    second &&
    html`<${Pane}
      key=${second.info.number}
      ...${second}
      look=${waiting(second.look, scale)}
      top=${top}
      label=${t("second trace")}
      compact
    />`;
  const several = differs ? "three" : "two";
  return html`<main class=${second ? several : maps ? "one with-blocks" : "one"} tabindex="-1">
    ${second && isBefore(second.info, first.info) ? [others, own] : [own, others]}
    ${differs && html`<${Difference} first=${first} second=${second} />`}
    ${!second && maps && html`<${Blocks} ...${first} />`}
    <${Legend}
      state=${first.state}
      scale=${scale}
      ramp=${maps}
      map=${look.shown.value ?? second?.look.shown.value ?? null}
    />
  </main>`;
}

/**
 * The words of a trace, with what the place takes from them
 * @param {Shown} shown
 */
const withShares = ({ info, state, look }) => ({
  info,
  state,
  shares: state.mode === "places" ? look.shares.value : null,
});

/**
 * @param {Fitted} state
 * @param {Look} look
 */
function spoken(state, look) {
  const [map, found] = [look.shown.value, look.found.value];
  if (state.mode === "cutout") return cutSpoken(look.cut.value);
  if (state.mode === "segments") return found ? t("{count} segments", { count: found.segments.length }) : "";
  if (!map || !state.cursor) return "";
  return t("brightest at row {row}, column {column}", { row: map.peak[0], column: map.peak[1] });
}

/** @param {HTMLElement} root */
async function start(root) {
  speak(languageOf(location.search, navigator.languages));
  root.textContent = t("Loading the trace …");
  try {
    const { traces, studio } = await source.traces();
    put(traces);
    openFirst(traces, studio);
    set({ hint: !studio && !wasSeen() });
    addEventListener("keydown", (event) => onKey(event, openTraces()));
    addEventListener("keyup", onKeyUp);
    addEventListener("blur", () => set({ bare: false }));
    addEventListener("hashchange", () => {
      open(location.hash);
      keepToTraces();
    });
    if (studio) follow(heed);
    root.replaceChildren();
    render(html`<${App} hasStudio=${studio} />`, root);
    if (!studio && wasSeen()) toPicture();
  } catch (error) {
    root.replaceChildren(told(error));
  }
}

/** What went wrong, as a paragraph. @param {unknown} error */
function told(error) {
  const paragraph = document.createElement("p");
  paragraph.className = "loading";
  paragraph.lang = languageOfError(error);
  paragraph.textContent = error instanceof Error ? error.message : String(error);
  return paragraph;
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
