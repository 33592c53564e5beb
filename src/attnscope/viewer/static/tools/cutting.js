// Masks of clicks: asked of the server, drawn over the picture, told of while they come.

import { t } from "attnscope/lang";
import { percent } from "attnscope/maps";
import { drawPin } from "attnscope/marks";
import { paint, put, WHITE } from "attnscope/paint";
import { html } from "attnscope/preact";
import { languageOfError } from "attnscope/refused";
import * as source from "attnscope/source";
import { pixelsOf } from "attnscope/tools/points";

/** @import { Question } from "attnscope/asking" */
/** @import { Point } from "attnscope/tools/points" */
/** @import { State } from "attnscope/state" */
/** @import { Answer, Cut, CutoutInfo, Fitted, TraceInfo } from "attnscope/types" */

/**
 * Whose attention answers
 * @param {State} state
 */
const clickParts = ({ step, branch, image, cutBlock }) => ({ step, branch, image, block: cutBlock });

/**
 * @param {TraceInfo} info
 * @param {State} state
 */
const cutParts = (info, state) => ({
  ...clickParts(state),
  plus: pixelsOf(state.points, "plus", info).map(String),
  minus: pixelsOf(state.points, "minus", info).map(String),
});

/**
 * The mask of the points; a group for each attention, so that work for one that is not looked at stops
 * @param {TraceInfo} info
 * @param {Fitted} state
 * @returns {Question<Cut> | undefined}
 */
export function cutQuestion(info, state) {
  const parts = cutParts(info, state);
  if (!source.LIVE || !parts.plus.length) return undefined;
  const from = clickParts(state);
  return {
    key: JSON.stringify([info.number, "cutout", parts]),
    group: JSON.stringify([info.number, "cutout", from]),
    ask: async (signal, told) => {
      await source.waited(source.at(info.number, "clicks", from), told, signal);
      /** @type {CutoutInfo} */
      const cut = await (await source.fetched(source.at(info.number, "cutout", parts))).json();
      const bits = await (await source.fetched(cutFile(info, state, "bits"))).arrayBuffer();
      return { ...cut, pixels: unpacked(new Uint8Array(bits), cut.height * cut.width) };
    },
  };
}

/**
 * The address of a file of the mask
 * @param {TraceInfo} info
 * @param {State} state
 * @param {"bits" | "mask" | "picture" | "json"} format
 */
export const cutFile = (info, state, format) =>
  source.at(info.number, "cutout/file", { ...cutParts(info, state), format });

/**
 * 0 or 1 of every pixel
 * @param {Uint8Array} bits
 * @param {number} count
 */
export const unpacked = (bits, count) =>
  Uint8Array.from({ length: count }, (_, at) => (bits[at >> 3] >> (7 - (at & 7))) & 1);

/** @type {[red: number, green: number, blue: number]} */
const SHADE = [12, 9, 18]; // over what is beside the thing

/**
 * The mask at another size: dark beside the thing, a white line around it
 * @param {Cut} cut
 * @param {number} height
 * @param {number} width
 * @param {number} opacity
 */
export function cutImage(cut, height, width, opacity) {
  const inside = sampledMask(cut, height, width);
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const shade = paint(SHADE, 0.85 * opacity);
  const last = inside.length - width;
  for (let at = 0; at < inside.length; at++) {
    const across = (at + 1) % width > 0 && inside[at + 1] !== inside[at];
    const border = across || (at < last && inside[at + width] !== inside[at]);
    pixels[at] = border ? WHITE : inside[at] ? 0 : shade;
  }
  return image;
}

/**
 * @param {Cut} cut
 * @param {number} height
 * @param {number} width
 */
function sampledMask(cut, height, width) {
  const inside = new Uint8Array(height * width);
  for (let y = 0, at = 0; y < height; y++) {
    const row = Math.floor(((y + 0.5) * cut.height) / height) * cut.width;
    for (let x = 0; x < width; x++, at++) {
      inside[at] = cut.pixels[row + Math.floor(((x + 0.5) * cut.width) / width)];
    }
  }
  return inside;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {{ rows: number, columns: number }} size
 * @param {Fitted} state
 * @param {Cut | null} cut
 */
export function drawCut(context, { rows, columns }, state, cut) {
  if (cut && state.points.length) put(context, cutImage(cut, rows, columns, state.opacity));
  for (const point of state.points) drawPoint(context, point);
  if (state.cursor) drawPin(context, state.cursor, "#fff", false);
}

/**
 * A plus in white, a minus in black, as in Python
 * @param {CanvasRenderingContext2D} context
 * @param {Point} point
 */
function drawPoint(context, { sign, at: [y, x] }) {
  const { width, height } = context.canvas;
  const unit = Math.max(width / 640, 1);
  const [inner, outer] = sign === "plus" ? ["#fff", "#000"] : ["#000", "#fff"];
  const [left, top, arm] = [x * width, y * height, 4.5 * unit];
  context.beginPath();
  context.arc(left, top, 9 * unit, 0, 2 * Math.PI);
  context.fillStyle = inner;
  context.fill();
  context.lineWidth = 2 * unit;
  context.strokeStyle = outer;
  context.moveTo(left - arm, top);
  context.lineTo(left + arm, top);
  if (sign === "plus") {
    context.moveTo(left, top - arm);
    context.lineTo(left, top + arm);
  }
  context.stroke();
}

/**
 * What lies over the picture: how far the work before the first click is, what went wrong
 * @param {{ cut: Answer<Cut> }} props
 */
export function CutNotices({ cut }) {
  const isStopped = cut.error?.name === "AbortError";
  if (cut.error && !isStopped) {
    const speaks = languageOfError(cut.error);
    return html`<p class="problem" role="alert" lang=${speaks}>${cut.error.message}</p>`;
  }
  if (isStopped) {
    return html`<div class="progress">
      <p>${t("Stopped.")}</p>
      <button onClick=${cut.again}>${t("Go on")}</button>
    </div>`;
  }
  if (!cut.busy) return null;
  if (!cut.progress?.total) return html`<span class="busy" aria-hidden="true"></span>`;
  const { done, total } = cut.progress;
  const so = total > 1 ? ` ${t("({done} of {total})", { done, total })}` : "";
  return html`<div class="progress" role="status">
    <p>${t("Getting ready for clicks, once for this picture …")}${so}</p>
    <progress value=${done} max=${total} aria-label=${t("getting ready for clicks")}></progress>
    <button onClick=${cut.stop}>${t("Cancel")}</button>
  </div>`;
}

/**
 * For readers of the screen
 * @param {Cut | null} cut
 */
export const cutSpoken = (cut) =>
  cut ? t("cut out: {share} of the picture", { share: percent(cut.share) }) : "";
