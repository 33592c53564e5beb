// Segments on canvases: the label of a place, colours and borders, where a name stands.

import { paint, WHITE } from "attnscope/paint";

const SHADING = 0.7; // how strongly the light of the picture shades the colours, as in pictures/overlays.py
const MIDDLE = 0.64; // of the light, where a colour is as it is
const GROUND = 136; // light where there is no picture

/** @import { Found, Place, Rgb } from "attnscope/types" */

/** @typedef {Pick<Found, "labels" | "labels_height" | "labels_width">} Labels */

/**
 * The segment of a place
 * @param {Labels} found
 * @param {Place} place
 */
export function labelAt(found, [y, x]) {
  const row = Math.floor(y * found.labels_height);
  return found.labels[row * found.labels_width + Math.floor(x * found.labels_width)];
}

/**
 * The label of every pixel of a height x width picture
 * @param {Labels} found
 * @param {number} height
 * @param {number} width
 */
export function resized(found, height, width) {
  const columns = Uint16Array.from({ length: width }, (_, x) =>
    Math.floor(((x + 0.5) * found.labels_width) / width),
  );
  const labels = new Uint16Array(height * width);
  for (let y = 0, at = 0; y < height; y++) {
    const row = Math.floor(((y + 0.5) * found.labels_height) / height) * found.labels_width;
    for (let x = 0; x < width; x++, at++) labels[at] = found.labels[row + columns[x]];
  }
  return labels;
}

/**
 * lit: the segment under the cursor, or null; all others are paler then; light: the picture's at every pixel
 * @param {Found} found
 * @param {number} height
 * @param {number} width
 * @param {number} opacity
 * @param {number | null} lit
 * @param {Uint8Array | null} [light]
 */
export function segmentsImage(found, height, width, opacity, lit, light = null) {
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const labels = resized(found, height, width);
  const paints = litPaints(found.colours, opacity, lit);
  const last = labels.length - width;
  for (let at = 0; at < labels.length; at++) {
    const label = labels[at];
    const across = (at + 1) % width > 0 && labels[at + 1] !== label;
    const border = across || (at < last && labels[at + width] !== label);
    pixels[at] = border ? WHITE : paints[256 * label + (light ? light[at] : GROUND)];
  }
  return image;
}

/**
 * Each segment's colour in each light, as `Segmentation.overlay` has it
 * @param {Rgb[]} colours
 * @param {number} opacity
 * @param {number | null} lit
 */
function litPaints(colours, opacity, lit) {
  const contrast = Math.min(SHADING, 5 * SHADING * (1 - opacity)); // none where only colours are asked for
  const paints = new Uint32Array(256 * colours.length);
  colours.forEach((colour, label) => {
    const own = lit === null || lit === label ? opacity : 0.3 * opacity;
    for (let light = 0; light < 256; light++) {
      const factor = 1 + contrast * (light / 255 - MIDDLE);
      const rgb = colour.map((channel) => Math.min(Math.max(Math.trunc(channel * factor), 0), 255));
      paints[256 * label + light] = paint(rgb, own);
    }
  });
  return paints;
}

const ROUGH = 96; // cells a side in which the middle of a segment is looked for
const SIZE = ROUGH + 2; // with a rim around that belongs to no segment

/**
 * For each of these segments the place that lies deepest inside it; none for one that is too thin
 * @param {Labels} found
 * @param {number[]} ids
 * @returns {Map<number, Place>}
 */
export function innermost(found, ids) {
  const labels = rough(found);
  const depth = depths(labels, SIZE);
  /** @type {Map<number, number>} */
  const deepest = new Map();
  for (let at = 0; at < depth.length; at++) {
    const best = deepest.get(labels[at]);
    if (best === undefined || depth[at] > depth[best]) deepest.set(labels[at], at);
  }
  return new Map(
    ids.flatMap((id) => {
      const at = deepest.get(id);
      return at === undefined ? [] : [[id, middle(at)]];
    }),
  );
}

/** @param {number} at @returns {Place} */
const middle = (at) => [(Math.floor(at / SIZE) - 0.5) / ROUGH, ((at % SIZE) - 0.5) / ROUGH];

/**
 * Labels of a few cells, -1 in the rim
 * @param {Labels} found
 */
function rough(found) {
  const labels = new Int32Array(SIZE * SIZE).fill(-1);
  const inside = resized(found, ROUGH, ROUGH);
  for (let y = 0; y < ROUGH; y++) {
    labels.set(inside.subarray(y * ROUGH, (y + 1) * ROUGH), (y + 1) * SIZE + 1);
  }
  return labels;
}

/**
 * Steps from each cell to the next cell with another label: two sweeps, from above and from below
 * @param {Int32Array} labels
 * @param {number} size
 */
export function depths(labels, size) {
  const depth = new Uint16Array(labels.length);
  /** @param {number} at @param {...number} others */
  const inside = (at, ...others) => {
    if (labels[at] < 0) return;
    const near = others.map((other) => (labels[other] === labels[at] ? depth[other] + 1 : 1));
    depth[at] = depth[at] ? Math.min(depth[at], ...near) : Math.min(...near);
  };
  for (let at = size; at < labels.length; at++) inside(at, at - size, at - 1);
  for (let at = labels.length - size - 1; at >= 0; at--) inside(at, at + size, at + 1);
  return depth;
}
