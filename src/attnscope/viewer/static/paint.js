// Maps on canvases. Sizes here are device pixels.

import { shade } from "attnscope/maps";
import { table } from "attnscope/ramps";

/** @import { Scale } from "attnscope/maps" */
/** @import { RampName } from "attnscope/ramps" */
/** @import { FieldMap } from "attnscope/types" */

const LEVELS = [0.25, 0.5, 0.75]; // of the scale, where contours run

/** @typedef {Pick<FieldMap, "height" | "width" | "values">} Values */

/**
 * The map's value at every pixel of a height x width picture: bilinear between the middles of cells, or cells
 * as squares
 * @param {Values} map
 * @param {number} height
 * @param {number} width
 * @param {boolean} cells
 */
export function sampled(map, height, width, cells) {
  const values = new Float32Array(height * width);
  const across = positions(map.width, width, cells);
  const down = positions(map.height, height, cells);
  for (let y = 0, at = 0; y < height; y++) {
    const upper = down.before[y] * map.width;
    const lower = down.after[y] * map.width;
    const fall = down.way[y];
    for (let x = 0; x < width; x++, at++) {
      const left = across.before[x];
      const right = across.after[x];
      const way = across.way[x];
      const above = map.values[upper + left] * (1 - way) + map.values[upper + right] * way;
      const below = map.values[lower + left] * (1 - way) + map.values[lower + right] * way;
      values[at] = above * (1 - fall) + below * fall;
    }
  }
  return values;
}

/**
 * For every pixel the cells before and after it, and how far it is on the way from one to the other
 * @param {number} cellCount
 * @param {number} pixels
 * @param {boolean} cells
 */
function positions(cellCount, pixels, cells) {
  const before = new Uint16Array(pixels);
  const after = new Uint16Array(pixels);
  const way = new Float32Array(pixels);
  for (let pixel = 0; pixel < pixels; pixel++) {
    const share = ((pixel + 0.5) * cellCount) / pixels;
    const place = cells ? Math.floor(share) : Math.min(Math.max(share - 0.5, 0), cellCount - 1);
    before[pixel] = Math.floor(place);
    after[pixel] = Math.min(before[pixel] + 1, cellCount - 1);
    way[pixel] = place - before[pixel];
  }
  return { before, after, way };
}

/**
 * top: the brightest value, null for the map's own maximum; opacity: of the brightest colour; through:
 * whether it falls with the value, so that the picture shows through, else it is the same everywhere. Python
 * does the same: pictures/drawn_map.py.
 * @typedef {object} Style
 * @property {RampName} colours
 * @property {Scale} scale
 * @property {number | null} top
 * @property {number} opacity
 * @property {boolean} through
 * @property {boolean} contour
 * @property {boolean} cells
 */

/**
 * @param {Values & { maximum?: number }} map
 * @param {number} height
 * @param {number} width
 * @param {Style} style
 */
export function mapImage(map, height, width, style) {
  const top = style.top ?? map.maximum ?? 0;
  const values = sampled(map, height, width, style.cells);
  const paints = paintsOf(style);
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const shades = new Uint8Array(values.length);
  for (let at = 0; at < values.length; at++) {
    shades[at] = Math.round(255 * shade(values[at], top, style.scale));
    pixels[at] = paints[shades[at]];
  }
  if (style.contour) contours(pixels, shades, height, width);
  return image;
}

export const WHITE = 0xffffffff;

/**
 * A colour as an ImageData's 32-bit number, on the little-endian machines that browsers run on
 * @param {ArrayLike<number>} rgb
 * @param {number} opacity
 */
export function paint(rgb, opacity) {
  return ((Math.round(255 * opacity) << 24) | (rgb[2] << 16) | (rgb[1] << 8) | rgb[0]) >>> 0;
}

/**
 * The colour of every shade
 * @param {Pick<Style, "colours" | "opacity" | "through">} style
 */
export function paintsOf({ colours: name, opacity, through }) {
  const colours = table(name);
  return Uint32Array.from({ length: 256 }, (_, shadeNumber) => {
    const rgb = colours.subarray(3 * shadeNumber, 3 * shadeNumber + 3);
    return paint(rgb, through ? (opacity * shadeNumber) / 255 : opacity);
  });
}

/**
 * White lines where the shade passes a level
 * @param {Uint32Array} pixels
 * @param {Uint8Array} shades
 * @param {number} height
 * @param {number} width
 */
function contours(pixels, shades, height, width) {
  const bands = Uint8Array.from(shades, (one) => LEVELS.filter((level) => one >= 255 * level).length);
  for (let y = 0; y + 1 < height; y++) {
    for (let at = y * width; at + 1 < (y + 1) * width; at++) {
      if (bands[at] !== bands[at + 1] || bands[at] !== bands[at + width]) pixels[at] = WHITE;
    }
  }
}

/** @param {ArrayLike<number>} rgb */
export function cssColour(rgb) {
  return `rgb(${rgb[0]} ${rgb[1]} ${rgb[2]})`;
}

/** @param {HTMLCanvasElement | OffscreenCanvas} canvas */
export const contextOf = (canvas) => /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));

/**
 * The image over the whole canvas
 * @param {CanvasRenderingContext2D} context
 * @param {ImageData} image
 */
export function put(context, image) {
  const layer = new OffscreenCanvas(image.width, image.height);
  contextOf(layer).putImageData(image, 0, 0);
  context.drawImage(layer, 0, 0, context.canvas.width, context.canvas.height);
}
