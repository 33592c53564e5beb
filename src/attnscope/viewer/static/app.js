// The page: header, words, one or two panes, panels.

import { html, render, useEffect, useState } from "preact";
import * as source from "attnscope/source";
import { useView } from "attnscope/asking";
import { get, open, set, toHash } from "attnscope/state";
import {
  boxOf,
  contentWords,
  firstWords,
  fitted,
  headsOf,
  kindOf,
  layersOf,
  tokensOf,
  viewOf,
  wordsOf,
} from "attnscope/look";
import { pythonOf } from "attnscope/code";
import { UNet } from "attnscope/blocks";
import { Pane, useLook } from "attnscope/stage";
import { Choices, Colours, Legend, Opacity, Select } from "attnscope/controls";
import { PlacesPanel, WordsPanel } from "attnscope/panels";
import { PromptBar } from "attnscope/prompt";
import { save, SegmentsPanel } from "attnscope/segments";

const MODES = { places: "Places", words: "Words", segments: "Segments" };
const HINT = "attnscope-hint-seen";

function App({ traces }) {
  const state = useView();
  const info = traces[state.trace];
  const other = state.other === null ? null : traces[state.other];
  const own = fitted(info, state);
  const beside = other ? besideOf(info, other, own) : own;
  const look = useLook(info, own);
  const otherLook = useLook(other, beside);
  const top = state.top ?? (other ? commonTop(look, otherLook) : null);
  useEffect(() => {
    document.documentElement.dataset.theme = state.theme;
    document.title = `${info.name} · attnscope`;
  });
  const Panel = { places: PlacesPanel, words: WordsPanel, segments: SegmentsPanel }[own.mode];
  return html` <${Header} traces=${traces} info=${info} state=${own} look=${look} />
    <${PromptBar} info=${info} state=${own} shares=${own.mode === "places" ? look.shares.value : null} />
    <main class=${other ? "two" : own.mode === "segments" ? "one" : "one with-unet"}>
      <${Pane} info=${info} state=${{ ...own, top }} look=${look} label="first trace" compact=${other !== null} />
      ${other && html`<${Pane} key=${other.number} info=${other} state=${{ ...beside, top }} look=${otherLook} label="second trace" compact />`}
      ${!other && own.mode !== "segments" && html`<${UNet} info=${info} state=${own} blocks=${look.blocks} />`}
      <${Legend} state=${own} top=${top} map=${look.shown.value ?? otherLook.shown.value} />
    </main>
    <aside aria-label="Choices and numbers">
      <${Choices} info=${info} state=${own} busy=${look.shown.busy} /><${Panel}
        info=${info}
        state=${own}
        look=${look}
      />
      ${
        own.mode === "segments"
          ? html`<section><${Opacity} state=${own} /></section>`
          : html`<${Colours} state=${own} />`
      }
    </aside>
    <${Hint} />
    <p class="spoken" role="status" aria-live="polite">${spoken(own, look)}</p>`;
}

// The same question to a second trace: its words are those of the same text
function besideOf(info, other, own) {
  const fit = fitted(other, { ...own, words: [], names: null, step: own.step ?? other.step });
  const [from, to] = [info.images[own.image], other.images[fit.image]];
  const same = (id) => (typeof id === "number" ? sameWord(from, to, id) : id);
  const here = (ids) => ids?.map(same).filter((id) => id !== null) ?? null;
  const absent =
    own.mode === "words"
      ? wordsOf(own)
          .filter((id) => same(id) === null)
          .map((id) => `“${from.words[id].text}”`)
      : [];
  return {
    ...fit,
    words: here(own.words),
    names: here(own.names),
    touched: own.touched === null || own.touched === undefined ? null : same(own.touched),
    missing: absent.length ? `This prompt does not hold ${absent.join(", ")}.` : null,
  };
}

function sameWord(from, to, id) {
  const text = (word) => word.text.toLowerCase();
  const earlier = from.words.slice(0, id).filter((word) => text(word) === text(from.words[id])).length;
  const places = to.words.map((_, at) => at).filter((at) => text(to.words[at]) === text(from.words[id]));
  return places[earlier] ?? places[0] ?? null;
}

// Two maps side by side have one scale
function commonTop(...looks) {
  const tops = looks.map((look) => look.shown.value?.maximum).filter((one) => one !== undefined);
  return tops.length ? Math.max(...tops) : null;
}

function Header({ traces, info, state, look }) {
  const names = traces.map((trace) => [trace.number, trace.name]);
  return html`<header>
    <h1>attnscope</h1>
    ${
      traces.length > 1 &&
      html` <${Select}
          label="Trace"
          value=${state.trace}
          options=${names}
          change=${(trace) => set(turnTo(traces, state, trace))}
        />
        <${Select}
          label="beside"
          value=${state.other}
          options=${[[null, "nothing"], ...names.filter(([number]) => number !== state.trace)]}
          change=${(number) => set({ other: number })}
        />`
    }
    <div class="modes" role="group" aria-label="What to look at">
      ${Object.entries(MODES).map(([mode, name], at) => html`<button aria-pressed=${state.mode === mode} title=${`key ${at + 1}`} onClick=${() => set({ mode, cursor: null })}>${name}</button>`)}
    </div>
    <span class="gap"></span>
    <${Actions} info=${info} state=${state} map=${look.shown.value} />
  </header>`;
}

// Another trace first: what belongs to the one before is left behind; a trace is not compared with itself
function turnTo(traces, state, trace) {
  const words = firstWords(traces[trace].images[0]);
  return {
    trace,
    words,
    names: null,
    image: 0,
    weights: "",
    step: traces[trace].step,
    cursor: null,
    other: state.other === trace ? state.trace : state.other,
  };
}

function Actions({ info, state, map }) {
  const [told, tell] = useState("");
  const copy = async (text, what) => {
    if (!navigator.clipboard) return prompt(`${what}, to copy:`, text); // browsers give it to https and this machine only
    await navigator.clipboard.writeText(text);
    tell(`${what} copied`);
    return setTimeout(() => tell(""), 1800);
  };
  const file = mapFile(info, state);
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
        <button
          title="a link that opens this view"
          onClick=${() => copy(`${location.href.split("#")[0]}#${toHash(get())}`, "Link")}
        >
          Copy link
        </button>`
    }
    <button
      id="save-png"
      title="the picture with its map"
      onClick=${() => sideBySide([...document.querySelectorAll(".stage canvas")]).toBlob((blob) => save(blob, "attention.png"))}
    >
      PNG
    </button>
    ${source.LIVE && file && map && html`<a class="button" id="save-npz" href=${file} download="attention.npz" title="the map's numbers for numpy.load">NPZ</a>`}
    <button title="light or dark (t)" aria-label="light or dark" onClick=${turnTheme}>◐</button>
    <button title="what can be done here (?)" aria-label="help" onClick=${() => set({ hint: true })}>?</button>`;
}

function sideBySide(canvases) {
  const all = document.createElement("canvas");
  all.width = canvases.reduce((width, one) => width + one.width, 0);
  all.height = Math.max(...canvases.map((one) => one.height));
  let left = 0;
  for (const one of canvases) {
    all.getContext("2d").drawImage(one, left, 0);
    left += one.width;
  }
  return all;
}

function mapFile(info, state) {
  const box = boxOf(state);
  if (state.mode === "places" && box) return source.placeFile?.(info.number, viewOf(state), box, "npz");
  const tokens = tokensOf(info.images[state.image], state, state.words);
  return state.mode === "words" && tokens.length ? source.wordsFile?.(info.number, viewOf(state), tokens, "npz") : null;
}

const KEYS = [
  ["1 2 3", "modes"],
  ["[ ]", "block"],
  [", .", "step"],
  ["h", "head"],
  ["w", "word"],
  ["c", "code"],
  ["t", "light"],
];

function Hint() {
  const { hint } = get();
  if (!hint) return null;
  const close = () => {
    remember();
    set({ hint: false });
  };
  return html`<div class="hint" role="dialog" aria-label="Help">
    <p><b>Move</b> over the picture: where does this place look? <b>Click</b> pins it, <b>drag</b> pins a region.</p>
    <p>
      <b>Click a word</b>: where did it land? <b>Click a small map</b>: that block of the U-Net alone, with its heads.
    </p>
    <p>
      <b>Keys</b>: arrows on the picture, Enter;
      ${KEYS.map(([keys, what]) => html`${keys.split(" ").map((key) => html`<kbd>${key}</kbd>`)}${` ${what}, `}`)}
      <kbd>?</kbd>${" this."}
    </p>
    <button autofocus onClick=${close}>Got it</button>
  </div>`;
}

function remember() {
  try {
    localStorage.setItem(HINT, "1");
  } catch {
    // a page opened from disk may not be allowed to remember; it shows its hint again
  }
}

function seen() {
  try {
    return localStorage.getItem(HINT) === "1";
  } catch {
    return false;
  }
}

function turnTheme() {
  const dark = get().theme === "dark" || (get().theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
  set({ theme: dark ? "light" : "dark" });
}

function spoken(state, look) {
  const map = look.shown.value;
  if (state.mode === "segments") return look.found.value ? `${look.found.value.segments.length} segments` : "";
  return map && state.cursor ? `brightest at row ${map.peak[0]}, column ${map.peak[1]}` : "";
}

// Keys that work everywhere but in fields
function onKey(event, traces) {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
  const state = get();
  const info = traces[state.trace];
  const blocks = [null, ...layersOf(info, kindOf(state)).map((layer) => layer.block)];
  const steps = [null, ...info.steps.map((step) => step.index)];
  const heads = [null, ...Array(headsOf(info, fitted(info, state))).keys()];
  const turn = (list, value, by) => list[(list.indexOf(value) + by + list.length) % list.length];
  const keys = {
    1: () => ({ mode: "places", cursor: null }),
    2: () => ({ mode: "words", cursor: null }),
    3: () => ({ mode: "segments", cursor: null }),
    "[": () => ({ block: turn(blocks, state.block, -1) }),
    "]": () => ({ block: turn(blocks, state.block, 1) }),
    ",": () => ({ step: turn(steps, state.step, -1) }),
    ".": () => ({ step: turn(steps, state.step, 1) }),
    h: () => ({ head: turn(heads, state.head, 1) }),
    w: () => nextWord(info, state),
    "?": () => ({ hint: !state.hint }),
    Escape: () => ({ hint: false, cursor: null }),
  };
  if (!source.LIVE) for (const key of [",", ".", "h"]) delete keys[key];
  if (event.key === "t") turnTheme();
  else if (event.key === "c") document.querySelector("#copy-code")?.click();
  else if (keys[event.key]) set(keys[event.key]());
}

function nextWord(info, state) {
  const words = contentWords(info.images[state.image] ?? info.images[0]);
  if (!words.length) return {};
  const at = words.indexOf(state.words[0]);
  return { mode: "words", words: [words[state.mode === "words" ? (at + 1) % words.length : Math.max(at, 0)]] };
}

async function start() {
  const root = document.querySelector("#app");
  try {
    const { traces } = await source.traces();
    const first = traces[0];
    const words = firstWords(first.images[0] ?? { words: [] });
    const mode = layersOf(first, "self").length ? "places" : "words";
    open(location.hash, { words, step: first.step, pins: [[0.5, 0.5]], mode, other: traces.length > 1 ? 1 : null });
    keepToTraces(traces);
    set({ hint: !seen() });
    addEventListener("keydown", (event) => onKey(event, traces));
    addEventListener("hashchange", () => {
      open(location.hash);
      keepToTraces(traces);
    });
    root.replaceChildren();
    render(html`<${App} traces=${traces} />`, root);
  } catch (error) {
    root.textContent = error.message;
  }
}

// A link may name traces that are not open here
function keepToTraces(traces) {
  const { trace, other } = get();
  const first = traces[trace] ? trace : 0;
  set({ trace: first, other: other !== null && traces[other] && other !== first ? other : null });
}

start();
