// Drawing on canvases: the picture, a map over it, segments, contours, pins. Sizes here are device pixels.

import { shade, table } from "attnscope/maps";

const LEVELS = [0.25, 0.5, 0.75]; // of the scale, where contours run

// The map's value at every pixel of a height x width picture: bilinear between the middles of cells, or cells as squares
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

// look: {colours, scale, top, opacity, contour, cells}
export function mapImage(map, height, width, look) {
  const top = look.top ?? map.maximum;
  const values = sampled(map, height, width, look.cells);
  const paints = paintsOf(look.colours, look.opacity);
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const shades = new Uint8Array(values.length);
  for (let at = 0; at < values.length; at++) {
    shades[at] = Math.round(255 * shade(values[at], top, look.scale));
    pixels[at] = paints[shades[at]];
  }
  if (look.contour) contours(pixels, shades, height, width);
  return image;
}

const WHITE = 0xffffffff;

// A colour as an ImageData's 32-bit number, on the little-endian machines that browsers run on
function paint([red, green, blue], opacity) {
  return ((Math.round(255 * opacity) << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

function paintsOf(name, opacity) {
  const colours = table(name);
  return Uint32Array.from({ length: 256 }, (_, i) => paint(colours.subarray(3 * i, 3 * i + 3), opacity));
}

function contours(pixels, shades, height, width) {
  const bands = Uint8Array.from(shades, (one) => LEVELS.filter((level) => one >= 255 * level).length);
  for (let y = 0; y + 1 < height; y++) {
    for (let at = y * width; at + 1 < (y + 1) * width; at++) {
      if (bands[at] !== bands[at + 1] || bands[at] !== bands[at + width]) pixels[at] = WHITE;
    }
  }
}

// Neighbouring numbers are told apart: hues by the golden angle, at two lightnesses
export function segmentColour(number) {
  const hue = (number * 137.508) % 360;
  return hslToRgb(hue, 0.62, number % 2 ? 0.42 : 0.58);
}

function hslToRgb(hue, saturation, lightness) {
  const reach = saturation * Math.min(lightness, 1 - lightness);
  return [0, 8, 4].map((shift) => {
    const place = (shift + hue / 30) % 12;
    return Math.round(255 * (lightness - reach * Math.max(-1, Math.min(place - 3, 9 - place, 1))));
  });
}

export function cssColour([red, green, blue]) {
  return `rgb(${red} ${green} ${blue})`;
}

// found: {labels, labels_height, labels_width}; lit: the segment under the cursor, or null
export function segmentsImage(found, height, width, opacity, lit) {
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const columns = Uint16Array.from({ length: width }, (_, x) => Math.floor(((x + 0.5) * found.labels_width) / width));
  const paints = new Map();
  const labels = new Uint16Array(height * width);
  for (let y = 0, at = 0; y < height; y++) {
    const row = Math.floor(((y + 0.5) * found.labels_height) / height) * found.labels_width;
    for (let x = 0; x < width; x++, at++) labels[at] = found.labels[row + columns[x]];
  }
  const last = labels.length - width;
  for (let at = 0; at < labels.length; at++) {
    const label = labels[at];
    const border = ((at + 1) % width && labels[at + 1] !== label) || (at < last && labels[at + width] !== label);
    if (!paints.has(label))
      paints.set(label, paint(segmentColour(label), lit === null || lit === label ? opacity : 0.3 * opacity));
    pixels[at] = border ? WHITE : paints.get(label);
  }
  return image;
}

export function put(context, image) {
  const layer = new OffscreenCanvas(image.width, image.height);
  layer.getContext("2d").putImageData(image, 0, 0);
  context.drawImage(layer, 0, 0, context.canvas.width, context.canvas.height);
}

export const PIN_COLOURS = ["#ff5d5d", "#3fa7ff", "#ffc53d", "#4cd07d", "#c58bff", "#ff8fd0", "#5fe0e0", "#f2f2f2"];

// A place as a ring, a part of the picture as a frame; dark outside, so that it shows on any ground
export function drawPin(context, pin, colour, strong) {
  const { width, height } = context.canvas;
  const unit = Math.max(width / 640, 1);
  for (const [line, paint] of [
    [(strong ? 5 : 4) * unit, "rgb(0 0 0 / 70%)"],
    [(strong ? 2.5 : 1.75) * unit, colour],
  ]) {
    context.lineWidth = line;
    context.strokeStyle = paint;
    context.beginPath();
    if (pin.length === 2) context.arc(pin[1] * width, pin[0] * height, (strong ? 8 : 6) * unit, 0, 2 * Math.PI);
    else context.rect(pin[1] * width, pin[0] * height, (pin[3] - pin[1]) * width, (pin[2] - pin[0]) * height);
    context.stroke();
  }
}

// A cell of a layer's grid
export function drawCell(context, [row, column], [rows, columns]) {
  const { width, height } = context.canvas;
  const box = [(column * width) / columns, (row * height) / rows, width / columns, height / rows];
  context.lineWidth = 3;
  context.strokeStyle = "rgb(0 0 0 / 70%)";
  context.strokeRect(...box);
  context.lineWidth = 1.25;
  context.strokeStyle = "white";
  context.strokeRect(...box);
}

const ROUGH = 96; // cells a side in which the middle of a segment is looked for

// For each of these segments the place, [y, x] in shares, that lies deepest inside it
export function innermost(found, ids) {
  const size = ROUGH + 2; // a rim around that belongs to no segment
  const labels = new Int32Array(size * size).fill(-1);
  for (let y = 0; y < ROUGH; y++) {
    const row = Math.floor(((y + 0.5) * found.labels_height) / ROUGH) * found.labels_width;
    for (let x = 0; x < ROUGH; x++) {
      labels[(y + 1) * size + x + 1] = found.labels[row + Math.floor(((x + 0.5) * found.labels_width) / ROUGH)];
    }
  }
  const depth = depths(labels, size);
  const deepest = new Map();
  for (let at = 0; at < depth.length; at++) {
    const best = deepest.get(labels[at]);
    if (best === undefined || depth[at] > depth[best]) deepest.set(labels[at], at);
  }
  const place = (at) => [(Math.floor(at / size) - 0.5) / ROUGH, ((at % size) - 0.5) / ROUGH];
  return new Map(ids.filter((id) => deepest.has(id)).map((id) => [id, place(deepest.get(id))]));
}

// Steps from each cell to the next cell with another label: two sweeps, from above and from below
function depths(labels, size) {
  const depth = new Uint16Array(labels.length);
  const inside = (at, ...others) => {
    if (labels[at] < 0) return;
    const near = others.map((other) => (labels[other] === labels[at] ? depth[other] + 1 : 1));
    depth[at] = depth[at] ? Math.min(depth[at], ...near) : Math.min(...near);
  };
  for (let at = size; at < labels.length; at++) inside(at, at - size, at - 1);
  for (let at = labels.length - size - 1; at >= 0; at--) inside(at, at + size, at + 1);
  return depth;
}

export function drawName(context, text, place) {
  if (!place) return; // too thin to be found
  const [y, x] = place;
  const { width, height } = context.canvas;
  context.font = `600 ${Math.max(Math.round(width / 42), 11)}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineJoin = "round";
  context.lineWidth = Math.max(width / 220, 3);
  context.strokeStyle = "rgb(0 0 0 / 75%)";
  const half = context.measureText(text).width / 2 + width / 100;
  const left = Math.min(Math.max(x * width, half), width - half);
  context.strokeText(text, left, y * height);
  context.fillStyle = "white";
  context.fillText(text, left, y * height);
}
