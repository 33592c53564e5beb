// The lines of Python that are copied. That they make what is drawn is tested in a browser.

import assert from "node:assert/strict";
import { test } from "node:test";
import { pythonOf } from "attnscope/code";
import { fittedState, madeImage, madeLayer, madeTrace } from "./made.js";

/** @import { State } from "attnscope/state" */
/** @import { TraceInfo } from "attnscope/types" */

/**
 * @param {Partial<State>} state
 * @param {Partial<TraceInfo>} changes
 * @param {(Omit<Partial<State>, "trace"> & { trace?: Partial<TraceInfo> })[]} others of traces beside it
 */
function code(state, changes = {}, ...others) {
  const sides = [{ ...state, trace: changes }, ...others].map(({ trace, ...own }) => {
    const info = madeTrace(trace);
    return { info, state: fittedState(info, /** @type {Partial<State>} */ (own)) };
  });
  return pythonOf(sides);
}

/**
 * The lines after the first trace is loaded
 * @param {Partial<State>} state
 * @param {Partial<TraceInfo>} trace
 */
function lines(state, trace = {}) {
  const all = code(state, trace).split("\n");
  assert.equal(all[0], "import attnscope");
  assert.equal(all.at(-1), "");
  return all.slice(all.findIndex((line) => line.startsWith("trace = ")) + 1, -1);
}

const PIN = /** @type {Partial<State>} */ ({ pins: [[0.3, 0.7]] });
const DRAW = ["drawn = draw_map(where, trace.picture_of(0), opacity=0.8)", 'drawn.save("attention.png")'];

test("the trace is loaded from where it is, a quote in a folder's name does no harm", () => {
  assert.match(code({}), /^trace = attnscope.load_trace\("out\/run.trace"\)$/m);
  assert.match(code({}, { folder: 'a"b\\c' }), /^trace = attnscope.load_trace\("a\\"b\\\\c"\)$/m);
  assert.match(code({}, { folder: null }), /load_trace\("run.trace"\)/);
});

test("a place in all blocks", () => {
  assert.equal(
    code({ ...PIN, step: 2 }),
    [
      "import attnscope",
      "from attnscope.pictures.drawn_map import draw_map",
      "from attnscope.places import Box, View, box_map",
      "",
      'trace = attnscope.load_trace("out/run.trace")',
      "where = box_map(trace, View(step=2), Box.of_place(0.3, 0.7))",
      ...DRAW,
      "",
    ].join("\n"),
  );
});

test("the cursor is not meant, the pin is; without one nothing is drawn", () => {
  assert.deepEqual(lines({ cursor: [0.9, 0.9] }), ["# choose a place first"]);
  const pins = /** @type {[number, number][]} */ ([
    [0.1, 0.2],
    [0.3, 0.4],
  ]);
  assert.match(lines({ cursor: [0.9, 0.9], pins, pin: 1 })[0], /of_place\(0.3, 0.4\)/);
});

test("a region in one block", () => {
  const line = lines({ pins: [[0.1, 0.2, 0.5, 0.6]], block: 2, head: 1 })[0];
  assert.equal(line, "where = box_map(trace, View(block=2, head=1), Box(0.1, 0.2, 0.5, 0.6))");
});

test("a place in one block is a row", () => {
  assert.deepEqual(lines({ ...PIN, block: 2, branch: "uncond", image: 1 }), [
    'where = trace.probabilities(block=2, kind="self", query=(1, 4), branch="uncond", image=1, ' +
      'mean=["step","head"]).reshape(4, 6).numpy()',
    "drawn = draw_map(where, trace.picture_of(1), opacity=0.8)",
    'drawn.save("attention.png")',
  ]);
  const chosen = lines({ ...PIN, block: 1, step: 0, head: 0 })[0];
  assert.match(chosen, /query=\(2, 8\), branch="cond", image=0, step=0, head=0\)\.reshape\(8, 12\)/);
  assert.match(lines({ ...PIN, block: 1, step: 0 })[0], /step=0, mean=\["head"\]\)/);
});

test("a word that stands once is said by its text, its colours are those of all words", () => {
  assert.deepEqual(lines({ mode: "words", words: [2] }), [
    'heat = attnscope.heat_map(trace, "house")',
    "top = words_maximum(trace, View())",
    "drawn = draw_map(heat.array, trace.picture_of(0), top=top, opacity=0.8)",
    'drawn.save("attention.png")',
  ]);
  const all = lines({ mode: "words", words: [1], step: 0, block: 2, head: 0, image: 1 });
  assert.match(all[0], /heat_map\(trace, "blue", steps=0, blocks=2, heads=0, image=1\)/);
  assert.equal(all[1], "top = words_maximum(trace, View(block=2, head=0, step=0, image=1))");
});

test("padding is no word of the text and has its own range", () => {
  assert.deepEqual(lines({ mode: "words", words: ["padding"] }).slice(0, 2), [
    'heat = attnscope.heat_map(trace, "<padding>")',
    "drawn = draw_map(heat.array, trace.picture_of(0), opacity=0.8)",
  ]);
});

test("a word that stands twice, or in another, and several words are said by tokens", () => {
  const images = [madeImage("a cat and a CATS")];
  assert.match(code({ mode: "words", words: [1] }, { images }), /^from attnscope.records import TokenSpan$/m);
  assert.equal(
    lines({ mode: "words", words: [1] }, { images })[0],
    'heat = attnscope.heat_map(trace, TokenSpan("1", 0, 0, (2,)))',
  );
  const both = lines({ mode: "words", words: [4, 2] }, { images })[0];
  assert.match(both, /TokenSpan\("4\+2", 0, 0, \(3, 5,\)\)/);
});

test("without a chosen word nothing is drawn", () => {
  assert.deepEqual(lines({ mode: "words" }), ["# choose a word first"]);
  assert.equal(code({ mode: "words" }).includes("draw_map"), false);
});

test("how it is drawn is said where it is not as usual", () => {
  const style = /** @type {Partial<State>} */ ({
    colours: "magma",
    scale: "log",
    opacity: 1,
    through: false,
    contour: true,
    cells: true,
    top: 0.25,
  });
  assert.deepEqual(lines({ ...PIN, ...style }).slice(1, 3), [
    "top = 0.25",
    'drawn = draw_map(where, trace.picture_of(0), top=top, colours="magma", scale="log", opacity=1, ' +
      "through=False, contours=True, cells=True)",
  ]);
  const images = [{ ...madeImage("a cat"), height: null, width: null }];
  assert.match(lines(PIN, { images })[1], /draw_map\(where, \(64, 96\), opacity=0.8\)/);
});

test("two traces have one range and a file each", () => {
  const both = code(PIN, {}, { ...PIN, trace: { number: 1, folder: "b.trace" } });
  assert.deepEqual(both.split("\n").slice(4, -1), [
    'trace = attnscope.load_trace("out/run.trace")',
    "where = box_map(trace, View(), Box.of_place(0.3, 0.7))",
    'trace_2 = attnscope.load_trace("b.trace")',
    "where_2 = box_map(trace_2, View(), Box.of_place(0.3, 0.7))",
    "top = max(where.max(), where_2.max())",
    "drawn = draw_map(where, trace.picture_of(0), top=top, opacity=0.8)",
    'drawn.save("attention.png")',
    "drawn_2 = draw_map(where_2, trace_2.picture_of(0), top=top, opacity=0.8)",
    'drawn_2.save("attention-2.png")',
  ]);
  const words = /** @type {Partial<State>} */ ({ mode: "words", words: [1] });
  assert.match(
    code(words, {}, { ...words, trace: { number: 1 } }),
    /^top = max\(words_maximum\(trace, View\(\)\), words_maximum\(trace_2, View\(\)\)\)$/m,
  );
});

test("segments", () => {
  assert.deepEqual(lines({ mode: "segments" }), [
    'found = attnscope.segment_trace(trace, branch="cond", thresholds=1.1, passes=3, anchors=16, ' +
      'unite=False, labels=["house","sky"])',
    'found.overlay(opacity=0.8).save("segments.png")',
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
    lines({ ...one, step: 2, branch: "uncond", image: 1, cutBlock: 2 })[0],
    /plus=\[\(24, 32\)\], steps=2, branch="uncond", image=1, layers=\[2\]\)$/,
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
