// Places and regions of the picture as cells of a layer's grid.

import { t } from "attnscope/lang";

/** @import { Box, Grid, Place, Region } from "attnscope/types" */

const NEARLY = 1e-5; // of a cell: shares in links are rounded

/**
 * The cells that a place or a part of the picture touches
 * @param {Box} box
 * @param {Grid} grid
 * @returns {[firstRow: number, firstColumn: number, lastRow: number, lastColumn: number]}
 */
export function cellsOf(box, [rows, columns]) {
  const [top, left, bottom, right] = box.length === 4 ? box : [...box, ...box];
  return [
    firstCell(top, rows),
    firstCell(left, columns),
    lastCell(bottom, top, rows),
    lastCell(right, left, columns),
  ];
}

/**
 * @param {number} share
 * @param {number} count
 */
const firstCell = (share, count) => Math.min(Math.floor(share * count + NEARLY), count - 1);

/**
 * @param {number} share
 * @param {number} low
 * @param {number} count
 */
const lastCell = (share, low, count) =>
  Math.max(Math.min(Math.ceil(share * count - NEARLY) - 1, count - 1), firstCell(low, count));

/**
 * @param {Box} box
 * @param {Grid} grid
 */
export function placeText(box, grid) {
  const [top, left, bottom, right] = cellsOf(box, grid);
  if (box.length === 2) return t("row {row}, column {column}", { row: top, column: left });
  return t("rows {top}–{bottom}, columns {left}–{right}", { top, bottom, left, right });
}

/**
 * The middle of the cell that is this step away from a place, inside the picture
 * @param {Place} place
 * @param {Place} step
 * @param {Grid} grid
 * @returns {Place}
 */
export function moved([y, x], [down, right], [rows, columns]) {
  return [nextMiddle(y, rows, down), nextMiddle(x, columns, right)];
}

/**
 * @param {number} share
 * @param {number} count
 * @param {number} by
 */
const nextMiddle = (share, count, by) =>
  (Math.min(Math.max(Math.floor(share * count) + by, 0), count - 1) + 0.5) / count;

/**
 * A region that grows by cells from the cursor's
 * @param {Box} box
 * @param {Place} step
 * @param {Grid} grid
 * @returns {Region}
 */
export function stretched(box, [down, right], grid) {
  const [rows, columns] = grid;
  const [top, left, bottom, wide] = box.length === 4 ? box : wholeCell(box, grid);
  return [top, left, edge(bottom, rows, down, top), edge(wide, columns, right, left)];
}

/**
 * @param {Place} place
 * @param {Grid} grid
 * @returns {Region}
 */
function wholeCell([y, x], [rows, columns]) {
  const [row, column] = [Math.floor(y * rows), Math.floor(x * columns)];
  return [row / rows, column / columns, (row + 1) / rows, (column + 1) / columns];
}

/**
 * @param {number} share
 * @param {number} count
 * @param {number} by
 * @param {number} least
 */
const edge = (share, count, by, least) =>
  Math.min(Math.max(Math.round(share * count) + by, Math.round(least * count) + 1), count) / count;
