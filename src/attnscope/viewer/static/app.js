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
import { traceOf } from "attnscope/shelf";
import { Skip, toPicture } from "attnscope/skip";
import * as source from "attnscope/source";
import { Pane } from "attnscope/stage";
import { get, open, set } from "attnscope/state";
import { firstWords, textOf } from "attnscope/words";

/** @import { Mode } from "attnscope/modes" */
/** @import { Shown } from "attnscope/scale" */
/** @import { Fitted, Look, TraceInfo } from "attnscope/types" */

/** @param {{ traces: TraceInfo[] }} props */
function App({ traces }) {
  const state = useView();
  useLanguage();
  const info = traceOf(traces, state.trace) ?? traces[0];
  const other = traceOf(traces, state.other);
  const own = fitted(info, state);
  const beside = other ? besideOf(info, other, own) : own;
  const first = { info, state: own, look: useLook(info, own) };
  const otherLook = useLook(other, beside);
  const second = other && { info: other, state: beside, look: otherLook };
  useEffect(() => {
    document.documentElement.dataset.theme = state.theme;
    document.title = `${info.name} · attnscope`;
  });
  const mode = modeOf(own.mode);
  return html`<${Skip} />
    <${Header} traces=${traces} first=${first} second=${second} />
    <${PromptBar} first=${withShares(first)} second=${second && withShares(second)} />
    ${pictures(first, second, mode)}
    <aside aria-label=${t("Choices and numbers")} tabindex="-1">
      <${Choices} info=${info} state=${own} busy=${first.look.shown.busy} />
      <${mode.Panel} ...${first} which=${second && "first"} />
      ${second && mode.both && html`<${mode.Panel} ...${second} which="second" />`}
      ${mode.maps ? html`<${Colours} state=${own} />` : html`<section><${Opacity} state=${own} /></section>`}
    </aside>
    <${Hint} />
    <${Told} />
    <p class="spoken" role="status" aria-live="polite">${spoken(own, first.look)}</p>`;
}

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
  return html`<main class=${second ? "two" : maps ? "one with-blocks" : "one"} tabindex="-1">
    <${Pane} ...${first} look=${look} top=${top} label=${t("first trace")} compact=${second !== null} />
    ${
      second &&
      html`<${Pane}
        key=${second.info.number}
        ...${second}
        look=${waiting(second.look, scale)}
        top=${top}
        label=${t("second trace")}
        compact
      />`
    }
    ${!second && maps && html`<${Blocks} ...${first} />`}
    <${Legend}
      state=${first.state}
      scale=${scale}
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
    addEventListener("keyup", onKeyUp);
    addEventListener("blur", () => set({ bare: false }));
    addEventListener("hashchange", () => {
      open(location.hash);
      keepToTraces(traces);
    });
    root.replaceChildren();
    render(html`<${App} traces=${traces} />`, root);
    if (wasSeen()) toPicture();
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
