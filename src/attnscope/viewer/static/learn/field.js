// One number, or a row of numbers, for each key: places as maps of the picture, tokens as columns.

import { columnAt, placeAt, tileAt, tilesOf, cellIn } from "attnscope/learn/geometry";
import {
  columnsImage,
  drawBars,
  drawLine,
  drawRing,
  drawText,
  drawTiles,
  drawTitles,
  mapsImage,
  ringInTiles,
} from "attnscope/learn/draw";
import { Drawing } from "attnscope/learn/drawing";
import { sharePaint, signedPaint } from "attnscope/learn/inks";
import { drawLabels, labelHeight } from "attnscope/learn/labels";
import { number, range, reach } from "attnscope/learn/numbers";
import { edgesOf } from "attnscope/learn/sections";
import { percent } from "attnscope/maps";
import { html } from "attnscope/preact";

/** @import { State } from "attnscope/state" */
/** @import { TextInfo } from "attnscope/types" */
/** @import { Draw, KeyAt } from "attnscope/learn/drawing" */
/** @import { ComputationInfo, Focus, Inks, SectionInfo } from "attnscope/learn/types" */

export const KEY = "#2ff3e0"; // the key that is looked at
export const QUERY = "#ff4fd8"; // the place that asks

/**
 * values: keys x count; signed: numbers of both signs, else shares of 0 and more; titles: over the channels
 * @typedef {object} FieldProps
 * @property {string} name
 * @property {string} label
 * @property {Float32Array} values
 * @property {number} [count]
 * @property {boolean} [signed]
 * @property {number} [top] of the colours; by default the largest size that there is
 * @property {string[]} [titles]
 * @property {ComputationInfo} info
 * @property {TextInfo} read
 * @property {State} state
 * @property {Focus} focus
 * @property {(key: number) => string} [value] what is said of a key
 */

/** @param {FieldProps} props */
export function Field(props) {
  const top = props.top ?? reach(props.values);
  return html`<div class="learn-field">
    ${props.info.sections.map((section) => {
      const Part = section.grid ? Places : Tokens;
      return html`<${Part} key=${section.first} ...${props} section=${section} top=${top} />`;
    })}
  </div>`;
}

/** @typedef {FieldProps & { section: SectionInfo, top: number }} PartProps */

/**
 * @param {PartProps} props
 * @param {Inks} inks
 */
const paintOf = ({ signed, top, state }, inks) =>
  signed ? signedPaint(inks, top) : sharePaint(state.colours, top, state.scale);

const HIGH = 400; // of all maps of a field together
const ALONE = 340; // of a map that is alone

/** @param {PartProps} props */
function Places(props) {
  const { section, values, count = 1, titles = [], info, focus, state, label, name, top, value } = props;
  const grid = /** @type {[number, number]} */ (section.grid);
  const alone = count === 1;
  const most = alone ? ALONE : count > 4 ? 132 : 210;
  /** @param {number} width */
  const tiles = (width) => tilesOf(count, grid, width, most, alone ? ALONE : HIGH);
  /** @type {Draw} */
  const ground = (context, width, inks) => {
    const image = mapsImage(values, section.first, count, grid, paintOf(props, inks));
    drawTiles(context, image, tiles(width), count, grid);
    drawTitles(context, tiles(width), titles, inks.soft);
  };
  /** @type {Draw} */
  const over = (context, width) => {
    const place = info.row * grid[1] + info.column;
    if (alone && section.name === "own") {
      drawRing(context, cellIn(tileAt(tiles(width), 0), grid, place), QUERY, 7);
    }
    const at = focus.key - section.first;
    if (at >= 0 && at < section.keys) ringInTiles(context, tiles(width), count, grid, at, KEY);
  };
  /** @type {KeyAt} */
  const keyAt = (x, y, width) => {
    const place = placeAt(tiles(width), count, grid, x, y);
    return place === null ? null : section.first + place;
  };
  return html`<${Drawing}
    ...${{ name, label, focus, ground, over, keyAt }}
    of=${[values, top, titles.join(), state.colours, state.scale]}
    most=${alone ? ALONE : undefined}
    value=${value?.(focus.key)}
    height=${(/** @type {number} */ width) => tiles(width).total}
  />`;
}

const BARS = 120; // high

/** @param {PartProps} props */
function Tokens(props) {
  const { section, values, count = 1, read, focus, state, label, name, top, value } = props;
  const edges = edgesOf(section, read);
  const rows = count > 1 ? Math.round(Math.min(Math.max(200 / count, 1.5), 18) * count) : BARS;
  const above = count > 1 ? 0 : 14;
  /** @type {Draw} */
  const ground = (context, width, inks) => {
    const area = { x: 0, y: above, width, height: rows };
    if (count === 1) return drawScalars(context, props, edges, area, inks);
    const image = columnsImage(values, section.first, section.keys, count, paintOf(props, inks));
    return drawColumns(context, image, edges, width, rows);
  };
  /** @type {Draw} */
  const over = (context, width, inks) => {
    const at = focus.key - section.first;
    const lit = at >= 0 && at < section.keys ? at : null;
    if (lit !== null) drawBand(context, edges, lit, width, above + rows);
    drawLabels(context, { section, read, edges, width, y: above + rows, lit, inks });
  };
  /** @type {KeyAt} */
  const keyAt = (x, y, width) => section.first + columnAt(edges, x / width);
  return html`<${Drawing}
    ...${{ name, label, focus, ground, over, keyAt }}
    of=${[values, top, read, state.colours, state.scale]}
    value=${value?.(focus.key)}
    height=${(/** @type {number} */ width) => above + rows + labelHeight(section, read, edges, width)}
  />`;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {OffscreenCanvas} image
 * @param {Float64Array} edges
 * @param {number} width
 * @param {number} height
 */
function drawColumns(context, image, edges, width, height) {
  context.imageSmoothingEnabled = false;
  for (let at = 0; at + 1 < edges.length; at++) {
    const [left, right] = [edges[at] * width, edges[at + 1] * width];
    const gap = right - left > 8 ? 1 : 0;
    context.drawImage(image, at, 0, 1, image.height, left, 0, Math.max(right - left - gap, 0.5), height);
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {PartProps} props
 * @param {Float64Array} edges
 * @param {import("attnscope/learn/types").Rectangle} area
 * @param {Inks} inks
 */
function drawScalars(context, { section, values, signed, top }, edges, area, inks) {
  const own = values.subarray(section.first, section.first + section.keys);
  const [least, most] = signed ? range(values) : [0, top];
  const [low, high] = [Math.min(least, 0), Math.max(most, 0)];
  /** @param {number} value */
  const colour = (value) => (signed ? (value < 0 ? inks.minus : inks.plus) : inks.mark);
  const zero = drawBars(context, own, edges, area, [low, high], colour);
  drawLine(context, 0, zero, area.width, zero, inks.soft);
  const end = signed ? number(high) : percent(high);
  if (high > 0) drawText(context, end, 0, area.y - 4, { colour: inks.soft });
  const bottom = area.y + area.height - 3;
  if (low < 0) drawText(context, number(low), area.width, bottom, { colour: inks.soft, align: "right" });
}

const LEAST_BAND = 5; // width of the frame around a narrow column

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Float64Array} edges
 * @param {number} at
 * @param {number} width
 * @param {number} height
 */
function drawBand(context, edges, at, width, height) {
  const [left, right] = [edges[at] * width, edges[at + 1] * width];
  const x = Math.min(left, width - LEAST_BAND);
  drawRing(context, { x, y: 1, width: Math.max(right - left, LEAST_BAND), height: height - 2 }, KEY);
}
