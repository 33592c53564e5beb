// Drawings of a computation. Sizes are units, to which a canvas's context is scaled: drawing.js.

import { contextOf } from "attnscope/paint";
import { cellIn, histogram, tileAt } from "attnscope/learn/geometry";

/** @import { Grid } from "attnscope/types" */
/** @import { Inks, Rectangle } from "attnscope/learn/types" */
/** @import { Paint } from "attnscope/learn/inks" */
/** @import { Tiles } from "attnscope/learn/geometry" */

export const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Noto Sans JP', sans-serif";

/**
 * A canvas with one pixel for each number
 * @param {Float32Array} values keys x count, row by row
 * @param {number} first number of the first key
 * @param {number} keys
 * @param {number} count channels
 * @param {Paint} paint
 * @param {(key: number, channel: number, width: number) => number} at where the pixel is
 * @param {number} width
 */
function pixelsOf(values, first, keys, count, paint, at, width) {
  const image = new ImageData(width, (keys * count) / width);
  const pixels = new Uint32Array(image.data.buffer);
  for (let key = 0; key < keys; key++) {
    for (let channel = 0; channel < count; channel++) {
      pixels[at(key, channel, width)] = paint(values[(first + key) * count + channel]);
    }
  }
  const canvas = new OffscreenCanvas(image.width, image.height);
  contextOf(canvas).putImageData(image, 0, 0);
  return canvas;
}

/**
 * The maps of all channels side by side, a pixel for each place
 * @param {Float32Array} values keys x count
 * @param {number} first
 * @param {number} count
 * @param {Grid} grid
 * @param {Paint} paint
 */
export const mapsImage = (values, first, count, [rows, columns], paint) =>
  pixelsOf(
    values,
    first,
    rows * columns,
    count,
    paint,
    (key, channel, width) => Math.floor(key / columns) * width + channel * columns + (key % columns),
    columns * count,
  );

/**
 * A column for each key, a row for each channel
 * @param {Float32Array} values keys x count
 * @param {number} first
 * @param {number} keys
 * @param {number} count
 * @param {Paint} paint
 */
export const columnsImage = (values, first, keys, count, paint) =>
  pixelsOf(values, first, keys, count, paint, (key, channel, width) => channel * width + key, keys);

/**
 * @param {CanvasRenderingContext2D} context
 * @param {OffscreenCanvas} image of mapsImage
 * @param {Tiles} tiles
 * @param {number} count
 * @param {Grid} grid
 */
export function drawTiles(context, image, tiles, count, [rows, columns]) {
  context.imageSmoothingEnabled = false;
  for (let channel = 0; channel < count; channel++) {
    const { x, y, width, height } = tileAt(tiles, channel);
    context.drawImage(image, channel * columns, 0, columns, rows, x, y, width, height);
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Tiles} tiles
 * @param {string[]} titles
 * @param {string} colour
 */
export function drawTitles(context, tiles, titles, colour) {
  if (!tiles.title) return;
  context.font = `11px ${FONT}`;
  context.textAlign = "left";
  context.textBaseline = "alphabetic";
  context.fillStyle = colour;
  titles.forEach((title, channel) => {
    const { x, y, width } = tileAt(tiles, channel);
    context.fillText(title, x, y - 5, width);
  });
}

/**
 * A ring around a place, dark outside, so that it shows on any ground
 * @param {CanvasRenderingContext2D} context
 * @param {Rectangle} box
 * @param {string} colour
 * @param {number} [least] of its sides
 * @param {number} [line] width of its line
 */
export function drawRing(context, { x, y, width, height }, colour, least = 5, line = 2.25) {
  const [wide, high] = [Math.max(width, least), Math.max(height, least)];
  const [left, top] = [x + (width - wide) / 2, y + (height - high) / 2];
  context.lineWidth = 2 * line;
  context.strokeStyle = "rgb(0 0 0 / 75%)";
  context.strokeRect(left - 0.5, top - 0.5, wide + 1, high + 1);
  context.lineWidth = line;
  context.strokeStyle = colour;
  context.strokeRect(left - 0.5, top - 0.5, wide + 1, high + 1);
}

const SMALL = 80; // tiles narrower than this have a thinner ring

/**
 * The place in every tile
 * @param {CanvasRenderingContext2D} context
 * @param {Tiles} tiles
 * @param {number} count
 * @param {Grid} grid
 * @param {number} place
 * @param {string} colour
 */
export function ringInTiles(context, tiles, count, grid, place, colour) {
  const small = tiles.width < SMALL;
  for (let channel = 0; channel < count; channel++) {
    drawRing(
      context,
      cellIn(tileAt(tiles, channel), grid, place),
      colour,
      small ? 2 : 5,
      small ? 1.25 : 2.25,
    );
  }
}

/**
 * Bars from a common line of zero, in the middle of equal slots
 * @param {CanvasRenderingContext2D} context
 * @param {ArrayLike<number>} values
 * @param {Float64Array} edges of the slots, in shares of the width
 * @param {Rectangle} area
 * @param {[number, number]} range of the values, with zero inside
 * @param {(value: number, at: number) => string} colour
 */
export function drawBars(context, values, edges, area, [low, high], colour) {
  const scale = area.height / (high - low || 1);
  const zero = area.y + high * scale;
  for (let at = 0; at < values.length; at++) {
    const value = Math.max(values[at], low); // what is hidden is -inf
    const left = area.x + edges[at] * area.width;
    const slot = (edges[at + 1] - edges[at]) * area.width;
    const gap = Math.min(slot * 0.18, 3);
    const size = Math.max(Math.abs(value) * scale, values[at] === 0 ? 0 : 0.75);
    context.fillStyle = colour(values[at], at);
    context.fillRect(left + gap / 2, value < 0 ? zero : zero - size, Math.max(slot - gap, 0.75), size);
  }
  return zero;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} x
 * @param {number} y
 * @param {number} toX
 * @param {number} toY
 * @param {string} colour
 * @param {number} [width]
 */
export function drawLine(context, x, y, toX, toY, colour, width = 1) {
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(toX, toY);
  context.lineWidth = width;
  context.strokeStyle = colour;
  context.stroke();
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {string} text
 * @param {number} x
 * @param {number} y
 * @param {{ colour: string, align?: CanvasTextAlign, size?: number, weight?: number, most?: number }} style
 */
export function drawText(context, text, x, y, { colour, align = "left", size = 11, weight = 400, most }) {
  context.font = `${weight} ${size}px ${FONT}`;
  context.textAlign = align;
  context.textBaseline = "alphabetic";
  context.fillStyle = colour;
  context.fillText(text, x, y, most);
}

/**
 * Columns for how many values lie where
 * @param {CanvasRenderingContext2D} context
 * @param {ArrayLike<number>} values
 * @param {[number, number]} range
 * @param {Rectangle} area
 * @param {string} colour
 */
export function drawHistogram(context, values, range, area, colour) {
  const counts = histogram(values, range, Math.max(Math.floor(area.width / 7), 8));
  const most = Math.max(...counts, 1);
  const slot = area.width / counts.length;
  context.fillStyle = colour;
  counts.forEach((count, at) => {
    const height = count ? Math.max((area.height * count) / most, 2) : 0;
    context.fillRect(area.x + at * slot + 0.5, area.y + area.height - height, slot - 1, height);
  });
}

/**
 * An axis with its numbers below
 * @param {CanvasRenderingContext2D} context
 * @param {number[]} marks
 * @param {(value: number) => number} xOf
 * @param {number} y
 * @param {Inks} inks
 */
export function drawAxis(context, marks, xOf, y, inks) {
  for (const mark of marks) {
    drawLine(context, xOf(mark), y, xOf(mark), y + 4, inks.soft);
    const text = String(mark).replace("-", "−");
    drawText(context, text, xOf(mark), y + 15, { colour: inks.soft, align: "center" });
  }
}
