// The colours of drawings: those of the page's style, and what numbers become.

import { shade } from "attnscope/maps";
import { paint } from "attnscope/paint";
import { table } from "attnscope/ramps";

/** @import { Scale } from "attnscope/maps" */
/** @import { RampName } from "attnscope/ramps" */
/** @import { Rgb } from "attnscope/types" */
/** @import { Inks } from "attnscope/learn/types" */

/** @type {(keyof Inks)[]} */
const NAMES = ["ink", "soft", "line", "mark", "panel", "plus", "minus", "zero"];

/** @type {Inks | null} */
let read = null;

/**
 * As learn.css gives them to an element, light or dark. What is drawn at once has the same
 * @param {Element} element
 */
export function inksOf(element) {
  if (read) return read;
  const style = getComputedStyle(element);
  const colours = NAMES.map((name) => [name, style.getPropertyValue(`--learn-${name}`).trim()]);
  queueMicrotask(() => {
    read = null;
  });
  read = /** @type {Inks} */ (/** @type {unknown} */ (Object.fromEntries(colours)));
  return read;
}

/**
 * @param {string} colour as a browser computes it: "rgb(1, 2, 3)"
 * @returns {Rgb}
 */
export function rgbOf(colour) {
  const [red = 0, green = 0, blue = 0] = (colour.match(/[\d.]+/g) ?? []).map(Number);
  return [red, green, blue];
}

/**
 * A number's colour as a pixel
 * @typedef {(value: number) => number} Paint
 */

const LEVELS = 128; // on either side of zero

/**
 * From one colour by way of another at zero to a third
 * @param {Inks} inks
 * @param {number} top the size that gets the full colour
 * @returns {Paint}
 */
export function signedPaint(inks, top) {
  const [zero, plus, minus] = [inks.zero, inks.plus, inks.minus].map(rgbOf);
  /** @param {Rgb} to */
  const ramp = (to) =>
    Uint32Array.from({ length: LEVELS + 1 }, (_, level) => paint(mixed(zero, to, level / LEVELS), 1));
  const [up, down] = [ramp(plus), ramp(minus)];
  return (value) => {
    const level = Math.round(LEVELS * Math.min(top > 0 ? Math.abs(value) / top : 0, 1));
    return value < 0 ? down[level] : up[level];
  };
}

/**
 * @param {Rgb} from
 * @param {Rgb} to
 * @param {number} way
 * @returns {Rgb}
 */
const mixed = (from, to, way) => [
  Math.round(from[0] + (to[0] - from[0]) * way),
  Math.round(from[1] + (to[1] - from[1]) * way),
  Math.round(from[2] + (to[2] - from[2]) * way),
];

/**
 * On the page's own ramp
 * @param {RampName} name
 * @param {number} top
 * @param {Scale} scale
 * @param {number} [opacity]
 * @returns {Paint}
 */
export function sharePaint(name, top, scale, opacity = 1) {
  const colours = table(name);
  const paints = Uint32Array.from({ length: 256 }, (_, level) =>
    paint(colours.subarray(3 * level, 3 * level + 3), opacity),
  );
  return (value) => paints[Math.round(255 * shade(value, top, scale))];
}
