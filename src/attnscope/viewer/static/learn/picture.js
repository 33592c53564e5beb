// The picture with the place that asks, which can be dragged, and the key that is looked at.

import { moved } from "attnscope/cells";
import { t } from "attnscope/lang";
import { cellOf, moveTo } from "attnscope/learn/choice";
import { drawRing } from "attnscope/learn/draw";
import { useKept, useRoom } from "attnscope/learn/drawing";
import { KEY, QUERY } from "attnscope/learn/field";
import { cellIn } from "attnscope/learn/geometry";
import { ownPlaces } from "attnscope/learn/sections";
import { shade } from "attnscope/maps";
import { contextOf, paint, put, sampled } from "attnscope/paint";
import { usePicture } from "attnscope/picture";
import { html, useLayoutEffect, useRef } from "attnscope/preact";
import { table } from "attnscope/ramps";

/** @import { State } from "attnscope/state" */
/** @import { Values } from "attnscope/paint" */
/** @import { Place, TraceInfo } from "attnscope/types" */
/** @import { Chosen, Computed, Focus, Rectangle } from "attnscope/learn/types" */

const HIGHEST = 0.37; // of the window
const PIXELS = 512; // along the longer side, in which a map is computed

/**
 * over: the map that lies over the picture, null for none
 * @typedef {object} PictureProps
 * @property {TraceInfo} info
 * @property {State} state
 * @property {Chosen} chosen
 * @property {Computed | null} computed
 * @property {Focus} focus
 * @property {Values | null} over
 * @property {boolean} ready
 */

/** @param {PictureProps} props */
export function Picture(props) {
  const { info, state, chosen, focus, over, ready } = props;
  const frame = useRef(/** @type {HTMLElement | null} */ (null));
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const picture = usePicture(info, { ...state, image: chosen.view.image });
  const [high, wide] = info.size;
  const width = Math.floor(Math.min(useRoom(frame).width, (innerHeight * HIGHEST * wide) / high));
  const height = Math.floor((width * high) / wide);
  const kept = useKept();
  useLayoutEffect(() => {
    if (!canvas.current || !width) return;
    const context = contextOf(canvas.current);
    const { width: across, height: down } = canvas.current;
    const { colours, scale, opacity, cells } = state;
    const ground = [picture, over?.values, colours, scale, opacity, cells, across, down];
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.drawImage(
      kept(ground, across, down, (to) => drawGround(to, picture, props)),
      0,
      0,
    );
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    drawMarks(context, width, height, props);
  });
  return html`<div class="learn-frame" ref=${frame}>
    <div
      class="stage learn-stage"
      tabindex="0"
      role="application"
      aria-roledescription=${t("picture")}
      aria-label=${t("Picture: drag the place, or move it with the arrow keys")}
      style=${{ width: `${width}px`, height: `${height}px` }}
      onKeyDown=${(/** @type {KeyboardEvent} */ event) => onKey(event, chosen)}
    >
      <canvas
        ref=${canvas}
        width=${Math.max(Math.round(width * devicePixelRatio), 1)}
        height=${Math.max(Math.round(height * devicePixelRatio), 1)}
        style=${{ width: `${width}px`, height: `${height}px` }}
        data-ready=${picture !== undefined && ready}
        onPointerDown=${(/** @type {any} */ event) => {
          if (event.button !== 0) return;
          event.currentTarget.setPointerCapture(event.pointerId);
          moveTo(placeOf(event));
        }}
        onPointerMove=${(/** @type {any} */ event) => {
          if (event.buttons & 1) moveTo(placeOf(event));
          else focus.hover(keyUnder(event, props));
        }}
        onPointerLeave=${() => focus.hover(null)}
      ></canvas>
    </div>
  </div>`;
}

/**
 * @param {PointerEvent & { currentTarget: HTMLElement }} event
 * @returns {Place}
 */
function placeOf({ clientX, clientY, currentTarget }) {
  const { top, left, height, width } = currentTarget.getBoundingClientRect();
  return [inside((clientY - top) / height), inside((clientX - left) / width)];
}

/** @param {number} share */
const inside = (share) => Math.min(Math.max(share, 0), 0.9999);

/**
 * The key at the place under the pointer, where places are keys
 * @param {PointerEvent & { currentTarget: HTMLElement }} event
 * @param {PictureProps} props
 */
function keyUnder(event, { computed, chosen }) {
  const own = computed && ownPlaces(computed.info.sections, chosen.view.image);
  if (!own?.grid) return null;
  const [y, x] = placeOf(event);
  return own.first + Math.floor(y * own.grid[0]) * own.grid[1] + Math.floor(x * own.grid[1]);
}

/** @type {Record<string, Place>} */
const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/**
 * @param {KeyboardEvent} event
 * @param {Chosen} chosen
 */
function onKey(event, { place, layer }) {
  const step = STEPS[event.key];
  if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
  moveTo(moved(place, step, layer.grid));
  event.preventDefault();
  event.stopPropagation();
}

/**
 * The picture, and the map over it: the less attention, the more of the picture shows
 * @param {CanvasRenderingContext2D} context
 * @param {HTMLImageElement | null | undefined} picture
 * @param {PictureProps} props
 */
function drawGround(context, picture, { state, over }) {
  const { width, height } = context.canvas;
  context.fillStyle = "#888";
  context.fillRect(0, 0, width, height);
  if (picture) context.drawImage(picture, 0, 0, width, height);
  if (over) put(context, veil(over, height, width, state));
}

/**
 * @param {Values} over
 * @param {number} height
 * @param {number} width
 * @param {State} state
 */
function veil(over, height, width, state) {
  const scale = Math.min(PIXELS / Math.max(height, width), 1);
  const [rows, columns] = [Math.round(height * scale), Math.round(width * scale)];
  const values = sampled(over, rows, columns, state.cells);
  const colours = table(state.colours);
  const paints = Uint32Array.from({ length: 256 }, (_, level) =>
    paint(colours.subarray(3 * level, 3 * level + 3), state.opacity * (0.45 + (0.55 * level) / 255)),
  );
  const image = new ImageData(columns, rows);
  const pixels = new Uint32Array(image.data.buffer);
  const top = values.reduce((most, value) => Math.max(most, value), 0);
  values.forEach((value, at) => {
    pixels[at] = paints[Math.round(255 * shade(value, top, state.scale))];
  });
  return image;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} width
 * @param {number} height
 * @param {PictureProps} props
 */
function drawMarks(context, width, height, { chosen, computed, focus }) {
  /** @type {Rectangle} */
  const all = { x: 0, y: 0, width, height };
  const { grid } = chosen.layer;
  const [row, column] = cellOf(chosen);
  const own = computed && ownPlaces(computed.info.sections, chosen.view.image);
  const at = own ? focus.key - own.first : -1;
  if (own?.grid && at >= 0 && at < own.keys) drawRing(context, cellIn(all, own.grid, at), KEY, 8);
  drawRing(context, cellIn(all, grid, row * grid[1] + column), QUERY, 12);
}
