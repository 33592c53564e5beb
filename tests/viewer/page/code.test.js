// The lines of Python that are copied. That they make what is drawn is tested in a browser.

import assert from "node:assert/strict";
import { test } from "node:test";
import { pythonOf } from "attnscope/code";
import { madeImage, madeLayer, madeState, madeTrace } from "./made.js";

/** @import { State } from "attnscope/state" */
/** @import { TraceInfo } from "attnscope/types" */

/**
 * The lines after the trace is loaded
 * @param {Partial<State>} state
 * @param {Partial<TraceInfo>} trace
 */
function lines(state, trace = {}) {
  const all = pythonOf(madeTrace(trace), madeState(state)).split("\n");
  assert.deepEqual(all.slice(0, 2), ["import attnscope", ""]);
  assert.equal(all.at(-1), "");
  return all.slice(3, -1);
}

test("the trace is loaded from where it is, a quote in a folder's name does no harm", () => {
  assert.match(pythonOf(madeTrace(), madeState()), /^trace = attnscope.load_trace\("out\/run.trace"\)$/m);
  const odd = madeTrace({ folder: 'a"b\\c' });
  assert.match(pythonOf(odd, madeState()), /^trace = attnscope.load_trace\("a\\"b\\\\c"\)$/m);
  assert.match(pythonOf(madeTrace({ folder: null }), madeState()), /load_trace\("run.trace"\)/);
});

test("a place in all blocks", () => {
  assert.deepEqual(lines({ pins: [[0.3, 0.7]], step: 2 }), [
    "from attnscope.places import Box, View, box_map",
    "",
    'where = box_map(trace, View(block=None, head=None, step=2, branch="cond", image=0), ' +
      "Box.of_place(0.3, 0.7))",
    "print(where.shape, where.max())",
  ]);
});

test("the cursor is not meant, the pin is; without one the middle is", () => {
  assert.match(lines({ cursor: [0.9, 0.9] })[2], /Box.of_place\(0.5, 0.5\)/);
  assert.match(
    lines({
      cursor: [0.9, 0.9],
      pins: [
        [0.1, 0.2],
        [0.3, 0.4],
      ],
      pin: 1,
    })[2],
    /of_place\(0.3, 0.4\)/,
  );
});

test("a region in one block", () => {
  const line = lines({ pins: [[0.1, 0.2, 0.5, 0.6]], block: 2, head: 1 })[2];
  assert.match(
    line,
    /View\(block=2, head=1, step=None, branch="cond", image=0\), Box\(0.1, 0.2, 0.5, 0.6\)\)$/,
  );
});

test("a place in one block is a row", () => {
  assert.deepEqual(lines({ pins: [[0.3, 0.7]], block: 2, branch: "uncond", image: 1 }), [
    'where = trace.probabilities(block=2, kind="self", query=(1, 4), branch="uncond", image=1, ' +
      'mean=["step","head"]).reshape(4, 6)',
    "print(where.shape, where.max())",
  ]);
  const chosen = lines({ pins: [[0.3, 0.7]], block: 1, step: 0, head: 0 })[0];
  assert.match(chosen, /query=\(2, 8\), branch="cond", image=0, step=0, head=0\)\.reshape\(8, 12\)$/);
  assert.match(lines({ pins: [[0.3, 0.7]], block: 1, step: 0 })[0], /step=0, mean=\["head"\]\)/);
});

test("a word that stands once is said by its text", () => {
  assert.deepEqual(lines({ mode: "words", words: [2] }), [
    'heat = attnscope.heat_map(trace, "house")',
    "print(heat.array.shape, heat.array.max())",
  ]);
  assert.match(lines({ mode: "words", words: ["padding"] })[0], /heat_map\(trace, "<padding>"\)/);
  const all = lines({ mode: "words", words: [1], step: 0, block: 2, head: 0, image: 1 })[0];
  assert.match(all, /heat_map\(trace, "blue", steps=0, blocks=2, heads=0, image=1\)/);
});

test("a word that stands twice, or in another, and several words are said by tokens", () => {
  const images = [madeImage("a cat and a CATS")];
  assert.deepEqual(lines({ mode: "words", words: [1] }, { images }), [
    "from attnscope.records import TokenSpan",
    "",
    'heat = attnscope.heat_map(trace, TokenSpan("1", 0, 0, (2,)))',
    "print(heat.array.shape, heat.array.max())",
  ]);
  assert.match(lines({ mode: "words", words: [5, 2] })[2], /TokenSpan\("5\+2", 0, 0, \(3, 4, 8,\)\)/);
});

test("without a chosen word the first of content is meant, and without any nothing is asked", () => {
  assert.match(lines({ mode: "words" })[0], /heat_map\(trace, "red"\)/);
  assert.deepEqual(lines({ mode: "words", branch: "uncond", words: [2] }), ["# choose a word first"]);
  assert.deepEqual(lines({ mode: "words" }, { images: [madeImage("in the")] }), ["# choose a word first"]);
});

test("segments", () => {
  assert.deepEqual(lines({ mode: "segments" }), [
    'found = attnscope.segment_trace(trace, branch="cond", thresholds=1.1, passes=3, anchors=16, ' +
      'unite=False, labels=["house","sky"])',
    "print(found)",
  ]);
  const recipe = { tau: 0.4, passes: 2, anchors: 8, unite: true, names: [5, 1] };
  assert.equal(
    lines({ mode: "segments", weights: "8:2,4:0.5", step: 0, ...recipe })[0],
    'found = attnscope.segment_trace(trace, steps=0, branch="cond", thresholds=0.4, passes=2, anchors=8, ' +
      'unite=True, labels=["red","sky"], weights={(8, 12): 2, (4, 6): 0.5})',
  );
  assert.match(
    lines({ mode: "segments", names: [], image: 1 })[0],
    /image=1, thresholds=1.1, .* unite=False\)$/,
  );
});

test("clicks are in pixels of the picture", () => {
  /** @type {State["points"]} */
  const points = [
    { sign: "plus", at: [0.5, 0.25] },
    { sign: "minus", at: [0.01, 0.999] },
    { sign: "plus", at: [(31 + 0.5) / 64, (95 + 0.5) / 96] },
  ];
  assert.deepEqual(lines({ mode: "cutout", points }), [
    "clicked = attnscope.click(trace, plus=[(24, 32), (95, 31)], minus=[(95, 0)])",
    "print(clicked)",
    'clicked.cutout().save("cutout.png")',
  ]);
  const one = { mode: /** @type {const} */ ("cutout"), points: points.slice(0, 1) };
  assert.match(
    lines({ ...one, step: 2, branch: "uncond", image: 1, cutBlock: 3 })[0],
    /plus=\[\(24, 32\)\], steps=2, branch="uncond", image=1, layers=\[3\]\)$/,
  );
  assert.deepEqual(lines({ mode: "cutout", points: points.slice(1, 2) }), ["# click on a thing first"]);
});

test("the weight of one scale alone", () => {
  const layers = [madeLayer(1, "self")];
  const line = lines({ mode: "segments", weights: "8:3" }, { layers })[0];
  assert.match(line, /weights=\{\(8, 12\): 3\}\)$/);
});

test("two words of one text name segments once", () => {
  const images = [madeImage("tree tree")];
  assert.match(lines({ mode: "segments" }, { images })[0], /labels=\["tree"\]/);
});
