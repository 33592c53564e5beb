// Where keys are drawn: places as small maps, one a channel; tokens as columns. Sizes are drawing.js's units.

/** @import { Grid } from "attnscope/types" */
/** @import { Rectangle } from "attnscope/learn/types" */

const GAP = 5;
const LEAST = 3; // px of a tile's side, where there are very many

/**
 * @typedef {object} Tiles
 * @property {number} across tiles in a row
 * @property {number} width of a tile
 * @property {number} height of a tile
 * @property {number} title height of what is written over each tile
 * @property {number} total height of all
 */

/**
 * As large as they fit: not wider than `most` each, not higher than `high` together
 * @param {number} count
 * @param {Grid} grid
 * @param {number} width of all
 * @param {number} most
 * @param {number} high
 * @returns {Tiles}
 */
export function tilesOf(count, [rows, columns], width, most, high) {
  for (let across = 1; ; across++) {
    const side = Math.min(most, (width - GAP * (across - 1)) / across);
    const tile = Math.max(Math.floor(side), LEAST);
    const height = Math.max(Math.round((tile * rows) / columns), 1);
    const title = count > 1 && tile >= 56 ? 17 : 0;
    const down = Math.ceil(count / across);
    const total = down * (height + title) + GAP * (down - 1);
    if (total <= high || across >= count || tile === LEAST)
      return { across, width: tile, height, title, total };
  }
}

/**
 * The map of a channel
 * @param {Tiles} tiles
 * @param {number} channel
 * @returns {Rectangle}
 */
export function tileAt({ across, width, height, title }, channel) {
  const [row, column] = [Math.floor(channel / across), channel % across];
  return {
    x: column * (width + GAP),
    y: row * (height + title + GAP) + title,
    width,
    height,
  };
}

/**
 * The place under a point, as a flat number; null between the tiles
 * @param {Tiles} tiles
 * @param {number} count
 * @param {Grid} grid
 * @param {number} x
 * @param {number} y
 */
export function placeAt(tiles, count, [rows, columns], x, y) {
  const { across, width, height, title } = tiles;
  const channel = Math.floor(y / (height + title + GAP)) * across + Math.floor(x / (width + GAP));
  if (x < 0 || y < 0 || x >= across * (width + GAP) || channel >= count) return null;
  const tile = tileAt(tiles, channel);
  const row = Math.floor(((y - tile.y) * rows) / tile.height);
  const column = Math.floor(((x - tile.x) * columns) / tile.width);
  return row >= 0 && row < rows && column >= 0 && column < columns ? row * columns + column : null;
}

/**
 * A place in a tile
 * @param {Rectangle} tile
 * @param {Grid} grid
 * @param {number} place
 * @returns {Rectangle}
 */
export function cellIn(tile, [rows, columns], place) {
  const [width, height] = [tile.width / columns, tile.height / rows];
  const [row, column] = [Math.floor(place / columns), place % columns];
  return { x: tile.x + column * width, y: tile.y + row * height, width, height };
}

/**
 * The column under a point
 * @param {Float64Array} edges in shares of the width
 * @param {number} share
 */
export function columnAt(edges, share) {
  let [low, high] = [0, edges.length - 2];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (edges[middle] <= share) low = middle;
    else high = middle - 1;
  }
  return low;
}

/**
 * The number of the value nearest to one
 * @param {ArrayLike<number>} values
 * @param {number} value
 */
export function nearestTo(values, value) {
  let best = 0;
  for (let at = 1; at < values.length; at++) {
    if (Math.abs(values[at] - value) < Math.abs(values[best] - value)) best = at;
  }
  return best;
}

/**
 * How many values lie in each of some bins of equal width; the last one holds its upper end
 * @param {ArrayLike<number>} values those that are infinite are left out
 * @param {[number, number]} range
 * @param {number} bins
 */
export function histogram(values, [low, high], bins) {
  const counts = new Uint32Array(bins);
  const scale = high > low ? bins / (high - low) : 0;
  for (let at = 0; at < values.length; at++) {
    if (values[at] >= low && values[at] <= high) {
      counts[Math.min(Math.floor((values[at] - low) * scale), bins - 1)] += 1;
    }
  }
  return counts;
}

/**
 * Round numbers that divide a range, about `count` of them
 * @param {number} low
 * @param {number} high
 * @param {number} count
 */
export function ticks(low, high, count) {
  const rough = (high - low) / Math.max(count, 1);
  if (!(rough > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10);
  const found = [];
  for (let at = Math.ceil(low / step); at * step <= high + step * 1e-9; at++) {
    found.push(Number((at * step).toPrecision(12)));
  }
  return found;
}
