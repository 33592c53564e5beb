// Where a lesson draws keys, and the key under a point.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  cellIn,
  columnAt,
  histogram,
  nearestTo,
  placeAt,
  ticks,
  tileAt,
  tilesOf,
} from "attnscope/learn/geometry";

/** @import { Grid } from "attnscope/types" */

/** @type {Grid} */
const GRID = [4, 6];

test("one map is as wide as there is room, up to its most", () => {
  assert.deepEqual(tilesOf(1, GRID, 200, 340, 400), {
    across: 1,
    width: 200,
    height: 133,
    title: 0,
    total: 133,
  });
  assert.equal(tilesOf(1, GRID, 900, 340, 400).width, 340);
});

test("many maps stand in rows that are not too high", () => {
  for (const [count, width] of [
    [4, 600],
    [40, 600],
    [160, 300],
    [1280, 330],
  ]) {
    const tiles = tilesOf(count, GRID, width, 132, 400);
    const last = tileAt(tiles, count - 1);
    assert.ok(last.y + last.height <= tiles.total + 1);
    assert.ok(tileAt(tiles, tiles.across - 1).x + tiles.width <= width || tiles.width === 3, `${count}`);
    assert.ok(tiles.total <= 400 || tiles.width === 3, `${count}`);
  }
});

test("the place under a point is found in every tile, and none between them", () => {
  const tiles = tilesOf(4, GRID, 400, 132, 400);
  for (const channel of [0, 1, 3]) {
    for (const place of [0, 7, 23]) {
      const { x, y, width, height } = cellIn(tileAt(tiles, channel), GRID, place);
      assert.equal(placeAt(tiles, 4, GRID, x + width / 2, y + height / 2), place);
    }
  }
  const first = tileAt(tiles, 0);
  assert.equal(placeAt(tiles, 4, GRID, first.width + 2, first.y + 5), null);
  assert.equal(placeAt(tiles, 4, GRID, 5, -1), null);
  assert.equal(placeAt(tiles, 4, GRID, 5, 3), null); // its title
  assert.equal(placeAt(tiles, 3, GRID, tileAt(tiles, 3).x + 5, tileAt(tiles, 3).y + 5), null);
});

test("the column under a point", () => {
  const edges = Float64Array.of(0, 0.5, 0.6, 1);
  assert.deepEqual(
    [0, 0.49, 0.5, 0.59, 0.61, 1, 2].map((share) => columnAt(edges, share)),
    [0, 0, 1, 1, 2, 2, 2],
  );
});

test("the nearest value", () => {
  assert.equal(nearestTo([3, -Infinity, 1, 2], 1.4), 2);
  assert.equal(nearestTo([-Infinity, 0], 5), 1);
});

test("every finite value is in a bin, the largest in the last", () => {
  assert.deepEqual([...histogram([0, 0.1, 0.5, 1, -Infinity], [0, 1], 4)], [2, 0, 1, 1]);
  assert.deepEqual([...histogram([2, 2], [2, 2], 3)], [2, 0, 0]);
});

test("ticks are round numbers inside the range", () => {
  assert.deepEqual(ticks(-1.3, 2.2, 4), [-1, 0, 1, 2]);
  assert.deepEqual(ticks(0, 0.07, 4), [0, 0.02, 0.04, 0.06]);
  assert.deepEqual(ticks(5, 5, 4), [5]);
});
