// One trace on the stage: the picture under its map, what the pointer and the keys do there, and the strip of blocks.

import { html, useEffect, useLayoutEffect, useRef, useState } from "preact";
import * as source from "attnscope/source";
import { useAnswer } from "attnscope/asking";
import { set } from "attnscope/state";
import {
  boxOf,
  cellsOf,
  everywhere,
  gridOf,
  layersOf,
  kindOf,
  recipeOf,
  sourceOf,
  tokensOf,
  viewOf,
  wordsOf,
} from "attnscope/look";
import { BlockStrip, HeadStrip } from "attnscope/blocks";
import { drawCell, drawName, drawPin, innermost, mapImage, PIN_COLOURS, put, segmentsImage } from "attnscope/paint";

const FINEST_DRAWN = 768; // pixels along the longer side at which maps are computed; beyond it they are enlarged
const LEAST_NAMED = 0.02; // of the picture: smaller segments have their names in the table only
const DRAG = 0.02; // of the picture: less is a click

// What a trace (or none: null) answers to what is looked at: {shown, blocks, heads, shares, found}, each as useAnswer gives
// it. Blocks show both kinds whatever the mode: the place under the cursor or pinned, and the chosen words.
export function useLook(info, state) {
  const trace = info?.number;
  const view = viewOf(state);
  const box = info && state.mode === "places" ? boxOf(state) : null;
  const tokens = info && state.mode === "words" ? tokensOf(info.images[state.image], state, wordsOf(state)) : [];
  const kinds = (kind) => info !== null && layersOf(info, kind).length > 0;
  const drawn = info && state.mode !== "segments";
  const pinned = info && boxOf(state);
  const chosen = info ? tokensOf(info.images[state.image], state, wordsOf(state)) : [];
  const all = info && everywhere(info, state);
  const group = String(trace);
  const key = (asked, ...parts) => (asked ? JSON.stringify([trace, view, ...parts]) : null);
  const places = box && kinds("self");
  const words = tokens.length > 0 && kinds("cross");
  const shown = useAnswer(
    places ? key(true, "place", box) : key(words, "words", tokens),
    () => (places ? source.place(trace, view, box) : source.words(trace, view, tokens)),
    group,
  );
  const blocks = {
    self: useAnswer(
      key(drawn && pinned && kinds("self"), "blocks", pinned),
      () => source.placeBlocks(trace, all, pinned),
      group,
    ),
    cross: useAnswer(
      key(drawn && chosen.length && kinds("cross"), "blocks", chosen),
      () => source.wordBlocks(trace, all, chosen),
      group,
    ),
  };
  const heads = useAnswer(
    source.LIVE && view.block !== null && (places || words) ? key(true, "heads", view.block, box, tokens) : null,
    () => (places ? source.placeHeads(trace, view, box) : source.wordHeads(trace, view, tokens)),
    group,
  );
  const shares = useAnswer(
    key(box && kinds("cross"), "shares", box),
    () => source.shares(trace, sharesView(info, view), box),
    group,
  );
  const asked = info && state.mode === "segments" && kinds("self") ? [sourceOf(state), recipeOf(info, state)] : null;
  const found = useAnswer(
    asked ? JSON.stringify([trace, ...asked]) : null,
    (signal, told) => source.segments(trace, ...asked, told, signal),
    JSON.stringify([trace, asked?.[0]]),
  );
  return { shown, blocks, heads, shares, found };
}

// Words are read in the chosen block too, where it has cross-attention
function sharesView(info, view) {
  return layersOf(info, "cross").some((layer) => layer.block === view.block) ? view : { ...view, block: null };
}

// compact: blocks as a strip below; else the U-Net stands beside
export function Pane({ info, state, look, label, compact }) {
  const frame = useRef(null);
  const canvas = useRef(null);
  const picture = usePicture(info, state);
  const size = useFittedSize(frame, info.size);
  const drag = useRef(null);
  const [dragged, setDragged] = useState(null);
  const map = look.shown.value;
  const found = look.found.value;
  const lit = found && state.cursor?.length === 2 ? labelAt(found, state.cursor) : null;

  useLayoutEffect(() => {
    if (!size) return;
    draw(canvas.current.getContext("2d"), { info, state, picture, map, found, lit, dragged });
  });

  const place = (event) => {
    const bounds = canvas.current.getBoundingClientRect();
    const share = (value, from, length) => Math.min(Math.max((value - from) / length, 0), 0.9999);
    return [share(event.clientY, bounds.top, bounds.height), share(event.clientX, bounds.left, bounds.width)];
  };
  const move = (event) => {
    const at = place(event);
    const box = drag.current && boxBetween(drag.current, at);
    setDragged(box);
    set({ cursor: box ?? at });
  };
  const down = (event) => {
    if (event.button !== 0) return;
    drag.current = place(event);
    event.currentTarget.setPointerCapture(event.pointerId);
  };
  const up = (event) => {
    if (!drag.current) return;
    addPin(boxBetween(drag.current, place(event)) ?? place(event));
    drag.current = null;
    setDragged(null);
  };
  const leave = () => {
    drag.current = null;
    setDragged(null);
    set({ cursor: null });
  };
  const stopped = look.found.error?.name === "AbortError";
  const failed =
    look.shown.error ??
    look.blocks.self.error ??
    look.blocks.cross.error ??
    look.heads.error ??
    (stopped ? null : look.found.error);
  const error = failed?.message ?? lacking(info, state);
  return html`<figure class="pane" aria-label=${label}>
    <figcaption title=${info.folder}>
      <b>${info.name}</b> <span>${info.images[state.image]?.prompt || "no prompt"}</span>
    </figcaption>
    <div class="frame" ref=${frame}>
      <div
        class="stage"
        tabindex="0"
        role="application"
        aria-roledescription="picture"
        aria-label="Picture. Arrow keys move the cursor, Enter pins it, Shift with arrows draws a region, Delete removes the pin, Escape leaves."
        onKeyDown=${(event) => stageKey(event, gridOf(info, state), state)}
      >
        <canvas
          ref=${canvas}
          width=${size?.[1] ?? 1}
          height=${size?.[0] ?? 1}
          style=${size && cssSize(size)}
          data-ready=${picture !== undefined && !look.shown.busy && !look.found.busy}
          onPointerMove=${move}
          onPointerDown=${down}
          onPointerUp=${up}
          onPointerLeave=${leave}
          onPointerCancel=${leave}
        ></canvas>
        ${error && html`<p class="problem" role="alert">${error}</p>`}
        ${look.found.busy && html`<${Progress} found=${look.found} />`}
        ${
          stopped &&
          html`<div class="progress">
            <p>Stopped.</p>
            <button onClick=${look.found.again}>Aggregate the attention</button>
          </div>`
        }
        ${look.shown.busy && html`<span class="busy" aria-hidden="true"></span>`}
      </div>
    </div>
    ${compact && state.mode !== "segments" && html`<${BlockStrip} info=${info} state=${state} blocks=${look.blocks} />`}
    ${state.mode !== "segments" && source.LIVE && html`<${HeadStrip} info=${info} state=${state} heads=${look.heads.value} />`}
  </figure>`;
}

// What this trace can't show of what is looked at, or null
function lacking(info, state) {
  const kind = kindOf(state);
  if (!layersOf(info, kind).length) return `This trace holds no ${kind}-attention: it was captured without.`;
  if (state.mode === "words" && state.branch === "uncond")
    return "This branch reads the negative prompt, whose tokens the trace does not hold.";
  return state.missing ?? state.lacks;
}

function Progress({ found }) {
  const { done, total } = found.progress ?? { done: 0, total: 0 };
  if (!total) return null;
  return html`<div class="progress" role="status">
    <p>Aggregating self-attention: ${done} of ${total} layers</p>
    <progress value=${done} max=${total} aria-label="aggregation"></progress>
    <button onClick=${found.stop}>Cancel</button>
  </div>`;
}

function draw(context, { info, state, picture, map, found, lit, dragged }) {
  const { width, height } = context.canvas;
  const scale = Math.min(1, FINEST_DRAWN / Math.max(width, height));
  const [rows, columns] = [Math.round(height * scale), Math.round(width * scale)];
  context.clearRect(0, 0, width, height);
  context.fillStyle = "#888";
  context.fillRect(0, 0, width, height);
  if (picture) context.drawImage(picture, 0, 0, width, height);
  if (state.mode === "segments") {
    if (!found) return;
    put(context, segmentsImage(found, rows, columns, 0.75 * state.opacity, lit));
    const named = found.segments.filter((segment) => segment.label && segment.share > LEAST_NAMED);
    const places = innermost(
      found,
      named.map((segment) => segment.id),
    );
    for (const segment of named) drawName(context, segment.label, places.get(segment.id));
    return;
  }
  if (map) put(context, mapImage(map, rows, columns, state));
  if (state.mode !== "places") return;
  state.pins.forEach((pin, number) =>
    drawPin(context, pin, PIN_COLOURS[number % PIN_COLOURS.length], number === (state.pin ?? 0)),
  );
  if (dragged) drawPin(context, dragged, "#fff", true);
  else if (state.cursor)
    state.cursor.length === 2
      ? drawCell(context, cellsOf(state.cursor, gridOf(info, state)), gridOf(info, state))
      : drawPin(context, state.cursor, "#fff", true);
}

function labelAt(found, [y, x]) {
  return found.labels[Math.floor(y * found.labels_height) * found.labels_width + Math.floor(x * found.labels_width)];
}

function boxBetween([y, x], [toY, toX]) {
  if (Math.abs(toY - y) < DRAG && Math.abs(toX - x) < DRAG) return null;
  return [Math.min(y, toY), Math.min(x, toX), Math.max(y, toY), Math.max(x, toX)];
}

export function addPin(pin) {
  set((state) => {
    if (state.mode !== "places") return {};
    const others = state.pins.filter((one) => one.join() !== pin.join());
    const pins = [...others, pin].slice(-PIN_COLOURS.length);
    return { pins, pin: pins.length - 1 };
  });
}

export function removePin(number) {
  set((state) => {
    const pins = state.pins.filter((_, other) => other !== number);
    return { pins, pin: pins.length ? Math.min(state.pin ?? 0, pins.length - 1) : null };
  });
}

const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

function stageKey(event, [rows, columns], state) {
  const step = MOVES[event.key];
  const from = state.cursor ?? (state.pins[state.pin ?? 0]?.length === 2 ? state.pins[state.pin ?? 0] : [0.5, 0.5]);
  if (step && event.shiftKey) set({ cursor: stretched(from, step, rows, columns) });
  else if (step) set({ cursor: moved(from.slice(-2), step, rows, columns) });
  else if ((event.key === "Enter" || event.key === " ") && state.cursor) addPin(state.cursor);
  else if (state.mode === "places" && (event.key === "Delete" || event.key === "Backspace")) removePin(state.pin ?? 0);
  else if (event.key === "Escape") set({ cursor: null });
  else return;
  event.preventDefault();
  event.stopPropagation();
}

function moved([y, x], [down, right], rows, columns) {
  const cell = (share, count, by) => (Math.min(Math.max(Math.floor(share * count) + by, 0), count - 1) + 0.5) / count;
  return [cell(y, rows, down), cell(x, columns, right)];
}

// A region that grows by cells from the cursor's
function stretched(box, [down, right], rows, columns) {
  const [top, left, bottom, wide] =
    box.length === 4
      ? box
      : [
          Math.floor(box[0] * rows) / rows,
          Math.floor(box[1] * columns) / columns,
          (Math.floor(box[0] * rows) + 1) / rows,
          (Math.floor(box[1] * columns) + 1) / columns,
        ];
  const edge = (share, count, by, least) =>
    Math.min(Math.max(Math.round(share * count) + by, Math.round(least * count) + 1), count) / count;
  return [top, left, edge(bottom, rows, down, top), edge(wide, columns, right, left)];
}

export { labelAt };

// The run's picture as a bitmap; null where there is none, undefined while it loads
function usePicture(info, state) {
  const [picture, setPicture] = useState(undefined);
  const address = info.images[state.image]?.height ? source.picture(info.number, state.image) : null;
  useEffect(() => {
    const image = new Image();
    image.onload = () => setPicture(image);
    image.onerror = () => setPicture(null);
    setPicture(address ? undefined : null);
    if (address) image.src = address;
    return () => {
      image.onload = image.onerror = null;
    };
  }, [address]);
  return picture;
}

// [height, width] in device pixels of the largest canvas of this shape that fits into the frame
function useFittedSize(frame, [height, width]) {
  const [size, setSize] = useState(null);
  useLayoutEffect(() => {
    const fit = () => {
      const scale = Math.min(frame.current.clientHeight / height, frame.current.clientWidth / width) * devicePixelRatio;
      setSize((before) => {
        const next = [Math.max(Math.floor(height * scale), 1), Math.max(Math.floor(width * scale), 1)];
        return before && before[0] === next[0] && before[1] === next[1] ? before : next;
      });
    };
    const watcher = new ResizeObserver(fit);
    watcher.observe(frame.current);
    fit();
    return () => watcher.disconnect();
  }, [height, width]);
  return size;
}

const cssSize = ([height, width]) => ({
  height: `${height / devicePixelRatio}px`,
  width: `${width / devicePixelRatio}px`,
});
