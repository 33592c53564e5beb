// Steps 4 and 5: scores on one scale, then exponentials.

import { t } from "attnscope/lang";
import { drawAxis, drawHistogram, drawLine, drawText } from "attnscope/learn/draw";
import { Drawing } from "attnscope/learn/drawing";
import { KEY } from "attnscope/learn/field";
import * as formulas from "attnscope/learn/formulas";
import { nearestTo, ticks } from "attnscope/learn/geometry";
import { number, range, term } from "attnscope/learn/numbers";
import { forKey, shapeText, Step } from "attnscope/learn/step";
import { html } from "attnscope/preact";

/** @import { Draw, KeyAt } from "attnscope/learn/drawing" */
/** @import { Computed, Focus, Inks } from "attnscope/learn/types" */
/** @import { Lesson } from "attnscope/learn/step" */

/** Whether the scale is 1/√d. @param {Computed} computed */
const isUsual = ({ info }) => Math.abs(info.scale * Math.sqrt(info.dim) - 1) < 1e-5;

/** @param {Lesson} lesson */
export function ScaleStep({ computed, focus }) {
  const { info, scores, added, scaled } = computed;
  const usual = isUsual(computed);
  const by = usual ? `√${info.dim} = ${number(Math.sqrt(info.dim))}` : number(info.scale);
  const own = scores[focus.key];
  const divided = usual
    ? `${number(own)} / ${number(Math.sqrt(info.dim))}`
    : `${number(own)} × ${number(info.scale)}`;
  const mask = added ? ` + ${term(added[focus.key])}` : "";
  return html`<${Step}
    at=${4}
    title=${t("Scale")}
    formula=${formulas.scaled(usual, info.scale, info.masked)}
    says=${`${
      usual
        ? t(
            "A sum of more products reaches further. Divided by {by}, scores of heads of every dim are " +
              "comparable, and the softmax stays soft.",
            { by },
          )
        : t("This model multiplies its scores by {by}.", { by })
    } ${info.masked ? t("Then the model's mask is added: it lowers or hides keys.") : ""}`}
    shape=${`d = ${info.dim} → ${info.keys} ${t("numbers")}`}
    sum=${forKey(focus, html`${divided}${mask} = <b>${number(scaled[focus.key])}</b>`)}
  >
    <${Spread} computed=${computed} focus=${focus} />
  <//>`;
}

const TITLE = 18;
const ROWS = 58; // of each histogram
const AXIS = 26;

/**
 * How many keys have which score, before and after
 * @param {{ computed: Computed, focus: Focus }} props
 */
function Spread({ computed: { scores, scaled }, focus }) {
  const [low, high] = [scores, scaled]
    .map(range)
    .reduce(([least, most], [one, other]) => [Math.min(least, one), Math.max(most, other)], [0, 0]);
  /** @param {number} width */
  const scaleOf = (width) => (width - 24) / (high - low || 1);
  /** @param {number} value @param {number} width */
  const xOf = (value, width) => 12 + (Math.max(value, low) - low) * scaleOf(width);
  /** @type {[Float32Array, string][]} */
  const rows = [
    [scores, t("scores")],
    [scaled, t("scaled")],
  ];
  /** @param {number} at */
  const topOf = (at) => TITLE + at * (TITLE + ROWS + AXIS);
  /** @type {Draw} */
  const ground = (context, width, inks) =>
    rows.forEach(([values, title], at) => {
      const [y, bottom] = [topOf(at), topOf(at) + ROWS];
      const area = { x: 12, y, width: width - 24, height: ROWS };
      drawText(context, title, 12, y - 6, { colour: inks.soft, size: 12 });
      drawHistogram(context, values, [low, high], area, at ? inks.plus : inks.soft);
      drawLine(context, 12, bottom, width - 12, bottom, inks.soft);
      drawAxis(context, ticks(low, high, width / 90), (value) => xOf(value, width), bottom, inks);
    });
  /** @type {Draw} */
  const over = (context, width) =>
    rows.forEach(([values], at) =>
      drawMarker(context, xOf(values[focus.key], width), topOf(at) - 4, topOf(at) + ROWS),
    );
  /** @type {KeyAt} */
  const keyAt = (x, y, width) =>
    nearestTo(y < topOf(1) - TITLE ? scores : scaled, (x - 12) / scaleOf(width) + low);
  return html`<${Drawing}
    name="spread"
    label=${t("How many keys have which score, before and after scaling")}
    ...${{ focus, ground, over, keyAt }}
    of=${[scores, scaled, t("scores")]}
    value=${`${number(scores[focus.key])} → ${number(scaled[focus.key])}`}
    height=${() => 2 * (TITLE + ROWS + AXIS)}
  />`;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} x
 * @param {number} from
 * @param {number} to
 */
function drawMarker(context, x, from, to) {
  drawLine(context, x, from, x, to, "rgb(0 0 0 / 70%)", 4.5);
  drawLine(context, x, from, x, to, KEY, 2.5);
}

/** @param {Lesson} lesson */
export function SoftmaxStep({ computed, focus }) {
  const { info, scaled, exponentials } = computed;
  return html`<${Step}
    at=${5}
    title=${t("Softmax: exponentials")}
    formula=${formulas.exponential()}
    says=${t(
      "The largest number, {largest}, is subtracted: it changes no share and keeps exp from overflowing. " +
        "exp makes every number positive, and each step of 1 down the axis divides it by e = 2.718. " +
        "Together they are {total}.",
      { largest: number(info.largest), total: number(info.total) },
    )}
    shape=${`e ${shapeText([info.keys])}, ∑ e = ${number(info.total)}`}
    sum=${forKey(
      focus,
      html`exp(${number(scaled[focus.key])} − ${term(info.largest)}) =
        <b>${number(exponentials[focus.key])}</b>`,
    )}
  >
    <${Curve} computed=${computed} focus=${focus} />
  <//>`;
}

const CURVE = 170;

/**
 * Every key on the curve of exp
 * @param {{ computed: Computed, focus: Focus }} props
 */
function Curve({ computed: { info, scaled, exponentials }, focus }) {
  const [least] = range(scaled);
  const low = Math.min(least, info.largest - 1);
  /** @param {number} width */
  const scaleOf = (width) => (width - 60) / (info.largest - low || 1);
  /** @param {number} value @param {number} width */
  const xOf = (value, width) => 30 + (Math.max(value, low) - low) * scaleOf(width);
  /** @param {number} value */
  const yOf = (value) => 12 + (1 - value) * (CURVE - 12);
  /** @type {Draw} */
  const ground = (context, width, inks) => {
    for (const level of [0, 0.5, 1]) {
      drawLine(context, 30, yOf(level), width - 30, yOf(level), inks.line);
      drawText(context, String(level), 24, yOf(level) + 4, { colour: inks.soft, align: "right" });
    }
    /** @param {number} value */
    const at = (value) => xOf(value, width);
    drawCurve(context, low, info.largest, at, yOf, inks);
    drawAxis(context, ticks(low, info.largest, width / 90), at, CURVE, inks);
    drawDots(context, scaled, exponentials, at, yOf, inks);
  };
  /** @type {Draw} */
  const over = (context, width) =>
    drawDot(context, xOf(scaled[focus.key], width), yOf(exponentials[focus.key]), 6, KEY, true);
  /** @type {KeyAt} */
  const keyAt = (x, y, width) => nearestTo(scaled, (x - 30) / scaleOf(width) + low);
  return html`<${Drawing}
    name="exponentials"
    label=${t("Every key on the curve of the exponential")}
    ...${{ focus, ground, over, keyAt }}
    of=${[scaled, exponentials]}
    value=${number(exponentials[focus.key])}
    height=${() => CURVE + AXIS + 12}
  />`;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} low
 * @param {number} high
 * @param {(value: number) => number} xOf
 * @param {(value: number) => number} yOf
 * @param {Inks} inks
 */
function drawCurve(context, low, high, xOf, yOf, inks) {
  context.beginPath();
  for (let at = 0; at <= 200; at++) {
    const value = low + ((high - low) * at) / 200;
    context.lineTo(xOf(value), yOf(Math.exp(value - high)));
  }
  context.lineWidth = 1.5;
  context.strokeStyle = inks.soft;
  context.stroke();
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Float32Array} scaled
 * @param {Float32Array} exponentials
 * @param {(value: number) => number} xOf
 * @param {(value: number) => number} yOf
 * @param {Inks} inks
 */
function drawDots(context, scaled, exponentials, xOf, yOf, inks) {
  context.globalAlpha = scaled.length > 200 ? 0.35 : 0.7;
  scaled.forEach((value, at) => {
    if (value > -Infinity) drawDot(context, xOf(value), yOf(exponentials[at]), 3.5, inks.plus, false);
  });
  context.globalAlpha = 1;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} x
 * @param {number} y
 * @param {number} radius
 * @param {string} colour
 * @param {boolean} ringed
 */
function drawDot(context, x, y, radius, colour, ringed) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fillStyle = colour;
  context.fill();
  if (!ringed) return;
  context.lineWidth = 2;
  context.strokeStyle = "rgb(0 0 0 / 75%)";
  context.stroke();
}
