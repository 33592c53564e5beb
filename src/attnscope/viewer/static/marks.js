// What is drawn over a map: pins, the cell under the cursor, names.

/** @import { Box, Grid, Place } from "attnscope/types" */

export const PIN_COLOURS = [
  "#ff5d5d",
  "#3fa7ff",
  "#ffc53d",
  "#4cd07d",
  "#c58bff",
  "#ff8fd0",
  "#5fe0e0",
  "#f2f2f2",
];

/** @param {number} number */
export const pinColour = (number) => PIN_COLOURS[number % PIN_COLOURS.length];

/**
 * A place as a ring, a part of the picture as a frame; dark outside, so that it shows on any ground
 * @param {CanvasRenderingContext2D} context
 * @param {Box} pin
 * @param {string} colour
 * @param {boolean} strong
 */
export function drawPin(context, pin, colour, strong) {
  const unit = Math.max(context.canvas.width / 640, 1);
  /** @type {[number, string][]} */
  const lines = [
    [(strong ? 5 : 4) * unit, "rgb(0 0 0 / 70%)"],
    [(strong ? 2.5 : 1.75) * unit, colour],
  ];
  for (const [line, style] of lines) {
    context.lineWidth = line;
    context.strokeStyle = style;
    context.beginPath();
    outline(context, pin, (strong ? 8 : 6) * unit);
    context.stroke();
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Box} pin
 * @param {number} radius
 */
function outline(context, pin, radius) {
  const { width, height } = context.canvas;
  if (pin.length === 2) context.arc(pin[1] * width, pin[0] * height, radius, 0, 2 * Math.PI);
  else context.rect(pin[1] * width, pin[0] * height, (pin[3] - pin[1]) * width, (pin[2] - pin[0]) * height);
}

/**
 * A cell of a layer's grid
 * @param {CanvasRenderingContext2D} context
 * @param {number[]} cell row and column
 * @param {Grid} grid
 */
export function drawCell(context, [row, column], [rows, columns]) {
  const { width, height } = context.canvas;
  /** @type {[number, number, number, number]} */
  const box = [(column * width) / columns, (row * height) / rows, width / columns, height / rows];
  context.lineWidth = 3;
  context.strokeStyle = "rgb(0 0 0 / 70%)";
  context.strokeRect(...box);
  context.lineWidth = 1.25;
  context.strokeStyle = "white";
  context.strokeRect(...box);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {string} text
 * @param {Place} [place] of its middle; none: what it names is too thin
 */
export function drawName(context, text, place) {
  if (!place) return;
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
