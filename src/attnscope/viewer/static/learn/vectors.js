// Rows of numbers, one for each channel of a head: as bars, or as a strip of colours.

import { t } from "attnscope/lang";
import { drawBars, drawLine, drawText } from "attnscope/learn/draw";
import { Drawing } from "attnscope/learn/drawing";
import { signedPaint } from "attnscope/learn/inks";
import { number, reach } from "attnscope/learn/numbers";
import { html } from "attnscope/preact";

/** @import { Draw } from "attnscope/learn/drawing" */
/** @import { Inks } from "attnscope/learn/types" */

/**
 * @typedef {object} Vector
 * @property {string} label
 * @property {Float32Array} values
 */

const ROW = 58; // of bars
const NUMBERS = 13; // the line below it
const MARGIN = 52; // on the left, for labels
const LEAST_SLOT = 44; // of a bar with its number
const NARROW = 58; // where numbers have a digit less

/**
 * Rows of bars below each other, each on its own scale; numbers where there is room for them
 * @param {{ rows: Vector[], label: string, name: string, most?: number }} props
 */
export function Bars({ rows, label, name, most }) {
  const dim = rows[0].values.length;
  const edges = Float64Array.from({ length: dim + 1 }, (_, at) => at / dim);
  /** @param {number} width */
  const slot = (width) => (width - MARGIN) / dim;
  /** @param {number} width */
  const step = (width) => ROW + (slot(width) >= LEAST_SLOT ? NUMBERS : 0) + 8;
  /** @type {Draw} */
  const ground = (context, width, inks) =>
    rows.forEach((row, at) => {
      const area = { x: MARGIN, y: at * step(width) + 4, width: width - MARGIN, height: ROW - 4 };
      drawRow(context, row, edges, area, inks);
      if (slot(width) >= LEAST_SLOT) drawNumbers(context, row.values, area, inks);
    });
  return html`<${Drawing}
    ...${{ name, ground }}
    of=${rows.map(({ values }) => values.join())}
    label=${`${label}: ${rows.map((row) => spoken(row)).join("; ")}`}
    most=${most ?? MARGIN + dim * 96}
    height=${(/** @type {number} */ width) => rows.length * step(width)}
  />`;
}

const MOST_SPOKEN = 12;

/** @param {Vector} row */
const spoken = ({ label, values }) =>
  values.length > MOST_SPOKEN
    ? t("{label}, {count} numbers up to {most}", { label, count: values.length, most: number(reach(values)) })
    : `${label} ${Array.from(values, (value) => number(value)).join(", ")}`;

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Vector} row
 * @param {Float64Array} edges
 * @param {import("attnscope/learn/types").Rectangle} area
 * @param {Inks} inks
 */
function drawRow(context, { label, values }, edges, area, inks) {
  const top = reach(values) || 1;
  const zero = drawBars(context, values, edges, area, [-top, top], (value) =>
    value < 0 ? inks.minus : inks.plus,
  );
  drawLine(context, area.x, zero, area.x + area.width, zero, inks.soft);
  drawText(context, label, 0, zero + 1, { colour: inks.ink, size: 14, weight: 600 });
  drawText(context, `± ${number(top, 3)}`, 0, zero + 16, { colour: inks.soft, size: 10, most: MARGIN - 4 });
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Float32Array} values
 * @param {import("attnscope/learn/types").Rectangle} area
 * @param {Inks} inks
 */
function drawNumbers(context, values, area, inks) {
  const slot = area.width / values.length;
  const digits = slot < NARROW ? 3 : 4;
  values.forEach((value, at) =>
    drawText(context, number(value, digits), area.x + (at + 0.5) * slot, area.y + area.height + NUMBERS, {
      colour: inks.ink,
      align: "center",
      most: slot - 2,
    }),
  );
}

/**
 * A row of numbers as a strip of colours; top: the size that gets the full one
 * @param {{ values: Float32Array, top: number, label: string }} props
 */
export function Strip({ values, top, label }) {
  /** @type {Draw} */
  const ground = (context, width, inks) => {
    const paint = signedPaint(inks, top);
    const slot = width / values.length;
    values.forEach((value, at) => {
      context.fillStyle = cssOf(paint(value));
      context.fillRect(at * slot, 0, Math.max(slot - (slot > 6 ? 1 : 0), 0.5), STRIP);
    });
  };
  const [most, of] = [values.length * 40, [values.join(), top]];
  return html`<${Drawing} ...${{ label, ground, most, of }} height=${() => STRIP} />`;
}

const STRIP = 16; // high

/** @param {number} pixel as paint gives it */
const cssOf = (pixel) => `rgb(${pixel & 255} ${(pixel >> 8) & 255} ${(pixel >> 16) & 255})`;
