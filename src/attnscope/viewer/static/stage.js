// One trace on the stage: the picture under its map, and the strip of blocks.

import { BlockStrip, HeadStrip } from "attnscope/blocks";
import { draw } from "attnscope/drawing";
import { later, t } from "attnscope/lang";
import { gridOf, kindOf, layersOf } from "attnscope/look";
import { modeOf } from "attnscope/modes";
import { nameOf } from "attnscope/naming";
import { contextOf } from "attnscope/paint";
import { cssSize, useFittedSize, usePicture } from "attnscope/picture";
import { stageKey, usePointer } from "attnscope/pointing";
import { html, useLayoutEffect, useRef } from "attnscope/preact";
import { languageOfError } from "attnscope/refused";
import { litSegment } from "attnscope/segments";
import * as source from "attnscope/source";
import { set } from "attnscope/state";
import { editWords } from "attnscope/studio/edit";
import { usePlacing, wordToPlace } from "attnscope/studio/placing";
import { Signs } from "attnscope/tools/cutout";
import { CutNotices } from "attnscope/tools/cutting";
import { addPoint, pointKey } from "attnscope/tools/points";
import { textOf } from "attnscope/words";

/** @import { Shown } from "attnscope/scale" */
/** @import { Answer, Fitted, Found, Kind, Look, Place, TraceInfo } from "attnscope/types" */

/**
 * top: the map's brightest value, null for its own; compact: blocks as a strip below; else they stand beside
 * @typedef {Shown & { top: number | null, label: string, compact?: boolean }} PaneProps
 */

/** @param {PaneProps} props */
export function Pane({ info, state, look, top, label, compact }) {
  const strips = modeOf(state.mode).maps;
  const { text } = textOf(info, state);
  return html`<figure class="pane" aria-label=${label}>
    <figcaption title=${info.folder}>
      <b translate=${false}>${nameOf(info)}</b>
      ${text !== info.name && html`<span translate=${false}>${text || t("no prompt")}</span>`}
    </figcaption>
    <${Stage} info=${info} state=${{ ...state, top }} look=${look} />
    ${state.mode === "cutout" && !compact && html`<${Signs} state=${state} />`}
    ${compact && strips && html`<${BlockStrip} info=${info} state=${state} look=${look} />`}
    ${strips && source.LIVE && html`<${HeadStrip} info=${info} state=${state} look=${look} />`}
  </figure>`;
}

const HELP = later(
  "Picture. Arrow keys move the cursor, Enter pins it, Shift with arrows draws a region, " +
    "Delete removes the pin, Escape leaves.",
);

const CUT_HELP = later(
  "Picture. Arrows move the cursor, Enter cuts out, Shift with Enter takes away, Delete undoes.",
);

/** @param {{ info: TraceInfo, state: Fitted, look: Look }} props */
function Stage({ info, state, look }) {
  const frame = useRef(/** @type {HTMLElement | null} */ (null));
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const picture = usePicture(info, state);
  const size = useFittedSize(frame, info.size);
  const word = wordToPlace(editWords(info, state), state);
  const cuts = state.mode === "cutout";
  /** @param {Place} at @param {boolean} shift */
  const press = (at, shift) => addPoint(at, shift, info);
  const [pointing, placing] = [usePointer(cuts ? press : null), usePlacing(word)];
  const pointer = word ? placing : pointing;
  const [map, found, cut] = [look.shown.value, look.found.value, look.cut.value];
  useLayoutEffect(() => {
    if (!size || !canvas.current) return;
    const lit = litSegment(found, state);
    draw(contextOf(canvas.current), { info, state, picture, map, found, cut, lit, dragged: pointer.dragged });
  });
  /** @param {KeyboardEvent} event */
  const onKey = (event) => {
    if (!cuts) return stageKey(event, gridOf(info, state), state, word);
    const change = pointKey(event, state, info);
    if (!change) return undefined;
    set(change);
    event.preventDefault();
    return event.stopPropagation();
  };
  return html`<div class="frame" ref=${frame} style=${{ "--shape": `${info.size[1]} / ${info.size[0]}` }}>
    <div
      class="stage"
      tabindex="0"
      role="application"
      aria-roledescription=${t("picture")}
      aria-label=${t(cuts ? CUT_HELP : HELP)}
      onKeyDown=${onKey}
    >
      <canvas
        ref=${canvas}
        width=${size?.[1] ?? 1}
        height=${size?.[0] ?? 1}
        style=${size && cssSize(size)}
        data-ready=${picture !== undefined && !look.shown.busy && !look.found.busy && !look.cut.busy}
        onPointerMove=${pointer.move}
        onPointerDown=${pointer.down}
        onPointerUp=${pointer.up}
        onPointerLeave=${pointer.leave}
        onPointerCancel=${pointer.leave}
      ></canvas>
      <${Notices} info=${info} state=${state} look=${look} />
      <${CutNotices} cut=${look.cut} />
    </div>
  </div>`;
}

/**
 * What lies over the picture: what went wrong, how far long work is
 * @param {{ info: TraceInfo, state: Fitted, look: Look }} props
 */
function Notices({ info, state, look }) {
  const error = errorOf(look);
  const said = error?.message ?? lacking(info, state);
  return html`${said && html`<p class="problem" role="alert" lang=${languageOfError(error)}>${said}</p>`}
  ${look.found.busy && html`<${Progress} found=${look.found} />`}
  ${
    isStopped(look) &&
    html`<div class="progress">
      <p>${t("Stopped.")}</p>
      <button onClick=${look.found.again}>${t("Aggregate the attention")}</button>
    </div>`
  }
  ${look.shown.busy && html`<span class="busy" aria-hidden="true"></span>`}`;
}

/** @param {Look} look */
const isStopped = (look) => look.found.error?.name === "AbortError";

/** @param {Look} look */
function errorOf(look) {
  const { shown, blocks, heads, tops, found } = look;
  const maps = [shown, blocks.self, blocks.cross, heads, tops.view, tops.block, tops.head];
  const failed = maps.find((answer) => answer.error !== null);
  return failed?.error ?? (isStopped(look) ? null : found.error);
}

/** @type {Record<Kind, string>} */
const NO_LAYERS = {
  self: later("This trace holds no self-attention: it was captured without."),
  cross: later("This trace holds no cross-attention: it was captured without."),
};

/**
 * What this trace can't show of what is looked at, or null
 * @param {TraceInfo} info
 * @param {Fitted} state
 */
function lacking(info, state) {
  const kind = kindOf(state);
  if (!layersOf(info, kind).length) return t(NO_LAYERS[kind]);
  return state.missing ?? state.lacks;
}

/** @param {{ found: Answer<Found> }} props */
function Progress({ found }) {
  const { done, total } = found.progress ?? { done: 0, total: 0 };
  if (!total) return null;
  return html`<div class="progress" role="status">
    <p>${t("Aggregating self-attention: {done} of {total} layers", { done, total })}</p>
    <progress value=${done} max=${total} aria-label=${t("aggregation")}></progress>
    <button onClick=${found.stop}>${t("Cancel")}</button>
  </div>`;
}
