// One frame of the stage: the picture, its map or segments, pins and the cursor.

import { cellsOf } from "attnscope/cells";
import { innermost, segmentsImage } from "attnscope/labels";
import { gridOf } from "attnscope/look";
import { drawCell, drawName, drawPin, pinColour } from "attnscope/marks";
import { contextOf, mapImage, put } from "attnscope/paint";
import { drawRegions } from "attnscope/studio/placing";
import { drawCut } from "attnscope/tools/cutting";

/** @import { Box, Cut, FieldMap, Fitted, Found, TraceInfo } from "attnscope/types" */

const FINEST_DRAWN = 768; // pixels along the longer side up to which maps are computed, then enlarged
const LEAST_NAMED = 0.02; // of the picture: smaller segments have their names in the table only

/**
 * @typedef {object} Scene
 * @property {TraceInfo} info
 * @property {Fitted} state
 * @property {HTMLImageElement | null | undefined} picture
 * @property {FieldMap | null} map
 * @property {Found | null} found
 * @property {Cut | null} cut
 * @property {number | null} lit the segment under the cursor
 * @property {Box | null} dragged the region that is being drawn
 */

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Scene} scene
 */
export function draw(context, scene) {
  const { width, height } = context.canvas;
  context.clearRect(0, 0, width, height);
  context.fillStyle = "#888";
  context.fillRect(0, 0, width, height);
  if (scene.picture) context.drawImage(scene.picture, 0, 0, width, height);
  if (scene.state.bare) return;
  if (scene.state.mode === "segments") drawSegments(context, scene);
  else if (scene.state.mode === "cutout") drawCut(context, drawnSize(context), scene.state, scene.cut);
  else drawMap(context, scene);
  if (scene.state.mode === "places") drawPlaces(context, scene);
  if (scene.state.mode === "edit") drawEdits(context, scene);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Scene} scene
 */
function drawEdits(context, { state, dragged }) {
  drawRegions(context, state.edits);
  const region = dragged ?? (state.placing !== null && state.cursor?.length === 4 ? state.cursor : null);
  if (region) drawPin(context, region, "#fff", true);
}

/** @param {CanvasRenderingContext2D} context */
function drawnSize({ canvas: { height, width } }) {
  const scale = Math.min(1, FINEST_DRAWN / Math.max(width, height));
  return { rows: Math.round(height * scale), columns: Math.round(width * scale) };
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Scene} scene
 */
function drawSegments(context, { state, picture, found, lit }) {
  if (!found) return;
  const { rows, columns } = drawnSize(context);
  const light = picture ? lightOf(picture, rows, columns) : null;
  put(context, segmentsImage(found, rows, columns, state.opacity, lit, light));
  const named = found.segments.filter((segment) => segment.label && segment.share > LEAST_NAMED);
  const places = innermost(
    found,
    named.map((segment) => segment.id),
  );
  for (const { label, id } of named) drawName(context, label ?? "", places.get(id));
}

/** @type {WeakMap<HTMLImageElement, { rows: number, columns: number, light: Uint8Array }>} */
const lights = new WeakMap();

/**
 * How light the picture is at every pixel of this size, 0..255; computed once while the size stays
 * @param {HTMLImageElement} picture
 * @param {number} rows
 * @param {number} columns
 */
function lightOf(picture, rows, columns) {
  const known = lights.get(picture);
  if (known?.rows === rows && known.columns === columns) return known.light;
  const context = contextOf(new OffscreenCanvas(columns, rows));
  context.drawImage(picture, 0, 0, columns, rows);
  const { data } = context.getImageData(0, 0, columns, rows);
  const light = Uint8Array.from({ length: rows * columns }, (_, at) =>
    Math.round((299 * data[4 * at] + 587 * data[4 * at + 1] + 114 * data[4 * at + 2]) / 1000),
  );
  lights.set(picture, { rows, columns, light });
  return light;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Scene} scene
 */
function drawMap(context, { state, map }) {
  const { rows, columns } = drawnSize(context);
  if (map) put(context, mapImage(map, rows, columns, state));
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Scene} scene
 */
function drawPlaces(context, { info, state, dragged }) {
  state.pins.forEach((pin, number) => drawPin(context, pin, pinColour(number), number === (state.pin ?? 0)));
  const region = dragged ?? (state.cursor?.length === 4 ? state.cursor : null);
  const grid = gridOf(info, state);
  if (region) drawPin(context, region, "#fff", true);
  else if (state.cursor) drawCell(context, cellsOf(state.cursor, grid), grid);
}
