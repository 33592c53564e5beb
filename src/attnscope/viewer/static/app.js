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
import { languageOfError } from "attnscope/refused";
import { traceOf } from "attnscope/shelf";
import * as source from "attnscope/source";
import { Pane } from "attnscope/stage";
import { get, open, set } from "attnscope/state";
import { firstWords, textOf } from "attnscope/words";

/** @import { Fitted, Look, TraceInfo } from "attnscope/types" */

/** @param {{ traces: TraceInfo[] }} props */
function App({ traces }) {
  const state = useView();
  useLanguage();
  const info = traceOf(traces, state.trace) ?? traces[0];
  const other = traceOf(traces, state.other);
  const own = fitted(info, state);
  const beside = other ? besideOf(info, other, own) : own;
  const look = useLook(info, own);
  const otherLook = useLook(other, beside);
  const top = state.top ?? (other ? commonTop(look, otherLook) : null);
  useEffect(() => {
    document.documentElement.dataset.theme = state.theme;
    document.title = `${info.name} · attnscope`;
  });
  const { Panel, maps } = modeOf(own.mode);
  const shares = own.mode === "places" ? look.shares.value : null;
  return html` <${Header} traces=${traces} info=${info} state=${own} look=${look} />
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

/**
 * @param {Fitted} state
 * @param {Look} look
 */
function spoken(state, look) {
  const [map, found] = [look.shown.value, look.found.value];
  if (state.mode === "segments") return found ? t("{count} segments", { count: found.segments.length }) : "";
  if (!map || !state.cursor) return "";
  return t("brightest at row {row}, column {column}", { row: map.peak[0], column: map.peak[1] });
}

/** @param {HTMLElement} root */
async function start(root) {
  speak(languageOf(location.search, navigator.languages));
  root.textContent = t("Loading the trace …");
  try {
    const { traces } = await source.traces();
    openFirst(traces);
    set({ hint: !wasSeen() });
    addEventListener("keydown", (event) => onKey(event, traces));
    addEventListener("hashchange", () => {
      open(location.hash);
      keepToTraces(traces);
    });
    root.replaceChildren();
    render(html`<${App} traces=${traces} />`, root);
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

/** @param {TraceInfo[]} traces */
function openFirst(traces) {
  const [first] = traces;
  open(location.hash, {
    words: firstWords(textOf(first, { image: 0, branch: "cond" })),
    step: first.step,
    pins: [[0.5, 0.5]],
    mode: layersOf(first, "self").length ? "places" : "words",
    trace: first.number,
    other: traces.length > 1 ? traces[1].number : null,
  });
  keepToTraces(traces);
}

/**
 * A link may name traces that are not open here
 * @param {TraceInfo[]} traces
 */
function keepToTraces(traces) {
  const { trace, other } = get();
  const first = (traceOf(traces, trace) ?? traces[0]).number;
  set({ trace: first, other: other !== first && traceOf(traces, other) ? other : null });
}

const root = document.getElementById("app");
if (root) start(root);
