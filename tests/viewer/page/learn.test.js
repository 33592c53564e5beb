// A lesson's choice of a place, its numbers, its keys, and the lines of Python that print them.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { pythonOf } from "attnscope/code";
import { keyChange } from "attnscope/keys";
import { speak } from "attnscope/lang";
import { chosenOf, firstLayer, movedPin, placeOf } from "attnscope/learn/choice";
import { otherHalf } from "attnscope/learn/guidance";
import * as numbers from "attnscope/learn/numbers";
import { edgesOf, keyName, nextKey, ownPlaces, sums } from "attnscope/learn/sections";
import { rowsOf } from "attnscope/learn/top";
import { questionsOf } from "attnscope/questions";
import { JAPANESE } from "attnscope/text/ja";
import { fittedState, madeLayer, madeState, madeText, madeTrace } from "./made.js";

const { computedOf, number, products, range, reach, rowOf, term, unpackNumbers } = numbers;

/** @import { State } from "attnscope/state" */
/** @import { SectionInfo } from "attnscope/learn/types" */
/** @import { TraceInfo } from "attnscope/types" */

const info = madeTrace();

/** @param {Partial<State>} state */
const learn = (state = {}) => madeState({ mode: "learn", ...state });

/** @param {Partial<State>} state */
const chosen = (state = {}) => {
  const found = chosenOf(info, learn(state));
  assert.ok(found);
  return found;
};

/** @type {SectionInfo} */
const PLACES = { name: "own", first: 0, keys: 6, grid: [2, 3], frame: null };
/** @type {SectionInfo} */
const TOKENS = { name: "context", first: 6, keys: 5, grid: null, frame: null };
const read = madeText("red cat"); // start, red, cat, end, and two of padding

test("a lesson has one block, head and step where the state has means", () => {
  const { layer, view, place } = chosen();
  assert.deepEqual([layer.block, layer.kind], [2, "self"]);
  assert.deepEqual(view, { block: 2, head: 0, step: 2, branch: "cond", image: 0 });
  assert.deepEqual(place, [0.5, 0.5]);
});

test("what the state names is taken, what the trace lacks is not", () => {
  const named = chosen({ block: 1, head: 1, step: 0, branch: "uncond", image: 1, kind: "cross" });
  assert.deepEqual(named.view, { block: 1, head: 1, step: 0, branch: "uncond", image: 1 });
  assert.equal(named.layer.kind, "cross");
  const absent = chosen({ block: 9, head: 9, step: 9, branch: "best", image: 9 });
  assert.deepEqual(absent.view, { block: 2, head: 0, step: 2, branch: "cond", image: 0 });
});

test("a trace with one kind of attention is about that one, one without any has no lesson", () => {
  const layers = [madeLayer(1, "cross")];
  assert.equal(chosenOf(madeTrace({ layers }), learn())?.layer.kind, "cross");
  assert.equal(chosenOf(madeTrace({ layers: [] }), learn()), null);
});

test("a lesson opens at the second finest grid, on the way up", () => {
  const layers = [
    madeLayer(1, "self"),
    madeLayer(2, "self", { grid: [4, 6] }),
    madeLayer(3, "self", { grid: [2, 3], stage: "mid" }),
    madeLayer(4, "self", { grid: [4, 6], stage: "up" }),
    madeLayer(5, "self", { stage: "up" }),
  ];
  assert.equal(firstLayer(layers)?.block, 4);
  assert.equal(firstLayer(layers.slice(0, 2))?.block, 2);
  assert.equal(firstLayer(layers.slice(0, 1))?.block, 1);
  assert.equal(firstLayer([]), undefined);
});

test("the place is the chosen pin, and moving it leaves the other pins", () => {
  assert.deepEqual(placeOf({ pins: [], pin: null }), [0.5, 0.5]);
  assert.deepEqual(
    placeOf({
      pins: [
        [0.1, 0.2],
        [0, 0.5, 0.5, 1],
      ],
      pin: 1,
    }),
    [0.25, 0.75],
  );
  assert.deepEqual(
    movedPin(
      {
        pins: [
          [0.1, 0.2],
          [0.3, 0.4],
        ],
        pin: 1,
      },
      [0.9, 0.9],
    ),
    {
      pins: [
        [0.1, 0.2],
        [0.9, 0.9],
      ],
      pin: 1,
    },
  );
  assert.deepEqual(movedPin({ pins: [], pin: null }, [0.9, 0.9]), { pins: [[0.9, 0.9]], pin: 0 });
});

test("the page asks nothing else in a lesson", () => {
  assert.deepEqual(questionsOf(info, fittedState(info, { mode: "learn" })), {});
});

test("keys go round without means", () => {
  /** @param {string} key @param {Partial<State>} state */
  const change = (key, state = {}) => keyChange(key, info, learn(state));
  assert.deepEqual(change("5"), { mode: "learn", cursor: null });
  assert.deepEqual([change("]"), change("]", { block: 1 })], [{ block: 1 }, { block: 2 }]);
  assert.deepEqual([change("."), change(",")], [{ step: 0 }, { step: 1 }]);
  assert.deepEqual([change("h"), change("h", { head: 3, block: 2 })], [{ head: 1 }, { head: 0 }]);
});

test("the copied lines ask for the very numbers", () => {
  /** @param {TraceInfo} of @param {Partial<State>} [state] */
  const code = (of, state = {}) =>
    pythonOf([{ info: of, state: fittedState(of, { mode: "learn", ...state }) }]);
  /** @type {Partial<State>} */
  const looked = { block: 1, head: 1, step: 0, kind: "cross", pins: [[0.3, 0.7]], key: 3 };
  const lines = code(info, looked).split("\n");
  assert.equal(lines[1], "from attnscope.places import computation");
  assert.deepEqual(lines.slice(4, 8), [
    'which = dict(block=1, kind="cross", step=0, head=1, query=(2, 8), branch="cond", image=0)',
    "row = computation(trace, **which).row",
    "key = 3",
    'print("q", row.query)',
  ]);
  assert.match(code(info), /^key = int\(row.used.argmax\(\)\)$/m);
  assert.match(code(info), /^print\("again", trace.probabilities\(\*\*which, before_edits=True\)/m);
  const joint = madeTrace({ layers: [madeLayer(1, "self", { softmax: 200 })] });
  assert.doesNotMatch(code(joint), /again/);
});

test("numbers are read as the server packs them", () => {
  const head = new TextEncoder().encode('{"head": {"keys": 2}, "arrays": [["a", [2, 2]], ["b", [1]]]} ');
  const body = new Uint8Array(4 + 64 + 20);
  body.fill(32);
  new DataView(body.buffer).setUint32(0, 64, true);
  body.set(head, 4);
  new Float32Array(body.buffer, 68).set([1, 2, 3, -Infinity, 0.5]);
  const found = unpackNumbers(body.buffer);
  assert.deepEqual(found.head, { keys: 2 });
  assert.deepEqual([...found.arrays.a], [1, 2, 3, -Infinity]);
  assert.deepEqual([...found.arrays.b], [0.5]);
});

test("a computation without V or K says what it lacks", () => {
  const one = new Float32Array(1);
  const arrays = { query: one, scores: one, scaled: one, exponentials: one, probability: one };
  const found = computedOf({ head: /** @type {any} */ ({}), arrays }, null, "too large");
  assert.deepEqual(
    [found.key, found.value, found.output, found.added, found.lacks],
    [null, null, null, null, "too large"],
  );
  assert.equal(found.used, found.probability);
});

test("numbers have four digits that count", () => {
  assert.deepEqual(
    [3.14159, -12.3456, 0.031581, 0.00031581, 1234.5, 0, -Infinity].map((value) => number(value)),
    ["3.142", "−12.35", "0.03158", "0.0003158", "1235", "0", "−∞"],
  );
  assert.deepEqual(
    [1.234e-7, 2.5e8, -1e-10].map((value) => number(value)),
    ["1.23 × 10⁻⁷", "2.50 × 10⁸", "−1.00 × 10⁻¹⁰"],
  );
  assert.deepEqual([term(-0.5), term(2)], ["(−0.5000)", "2.000"]);
});

test("ranges leave out what is hidden", () => {
  const values = Float32Array.of(-2, -Infinity, 1.5);
  assert.deepEqual([reach(values), range(values), range([])], [2, [-2, 1.5], [0, 0]]);
  assert.deepEqual([...rowOf(Float32Array.of(1, 2, 3, 4), 1, 2)], [3, 4]);
  assert.deepEqual([...products(Float32Array.of(2, 3), [4, -1])], [8, -3]);
});

test("keys have names", () => {
  const sections = [PLACES, TOKENS];
  const names = [0, 5, 6, 7, 8, 9, 10].map((key) => keyName(sections, key, read));
  assert.deepEqual(names, [
    "row 0, column 0",
    "row 1, column 2",
    "start",
    "“red”",
    "“cat”",
    "end",
    "padding 4",
  ]);
  const frame = { ...PLACES, frame: 3 };
  assert.equal(keyName([frame], 4, read), "frame 3, row 1, column 1");
  assert.equal(keyName([{ ...TOKENS, first: 0, name: "objects" }], 2, read), "key 2 of objects");
  assert.equal(keyName([{ ...PLACES, name: "reference" }], 1, read), "row 0, column 1 of the other picture");
});

test("arrow keys walk over the places and on to the text", () => {
  const sections = [PLACES, TOKENS];
  /** @param {number} key @param {string} arrow */
  const next = (key, arrow) => nextKey(sections, key, `Arrow${arrow}`);
  assert.deepEqual([next(0, "Down"), next(0, "Right"), next(4, "Up")], [3, 1, 1]);
  assert.deepEqual([next(0, "Left"), next(0, "Up"), next(4, "Down"), next(5, "Right")], [0, 0, 6, 6]);
  assert.deepEqual([next(6, "Left"), next(7, "Up"), next(10, "Right"), next(8, "Down")], [5, 6, 10, 9]);
  assert.deepEqual(
    [nextKey(sections, 3, "Home"), nextKey(sections, 3, "End"), nextKey(sections, 3, "x")],
    [0, 10, null],
  );
});

test("the picture's own places are those of the image's frame", () => {
  const frames = [0, 1].map((frame) => ({ ...PLACES, first: 6 * frame, frame }));
  assert.equal(ownPlaces(frames, 3)?.first, 6);
  assert.equal(ownPlaces([TOKENS, { ...PLACES, first: 11 }], 3)?.first, 11);
  assert.equal(ownPlaces([TOKENS], 0), undefined);
});

test("what each section gets adds up", () => {
  const shares = Float32Array.from({ length: 11 }, (_, at) => (at < 6 ? 0.1 : 0.08));
  assert.deepEqual(
    sums([PLACES, TOKENS], shares).map((sum) => sum.toFixed(5)),
    ["0.60000", "0.40000"],
  );
});

test("padding is drawn narrow", () => {
  const edges = edgesOf({ ...TOKENS, first: 0, keys: 6 }, read);
  const widths = Array.from(edges.slice(1), (edge, at) => edge - edges[at]);
  assert.ok(Math.abs(widths[0] - widths[3]) < 1e-12);
  assert.ok(widths[5] < widths[0]);
  assert.equal(edges[6], 1);
  const unknown = edgesOf({ ...TOKENS, first: 0, keys: 4 }, madeText(""));
  assert.equal(unknown.length, 5);
});

test("the key that is looked at is in the table, too", () => {
  const computed = /** @type {any} */ ({ info: { top: [4, 2, 7, 1] } });
  assert.deepEqual(
    [rowsOf(computed, 2, 3), rowsOf(computed, 9, 2)],
    [
      [4, 2, 7],
      [4, 9],
    ],
  );
});

test("guidance has two halves where both branches are there", () => {
  assert.deepEqual([otherHalf(info, "cond"), otherHalf(info, "uncond")], ["uncond", "cond"]);
  assert.equal(otherHalf(madeTrace({ branches: ["cond"] }), "cond"), null);
});

test("every text of a lesson is there in Japanese", () => {
  const folder = "src/attnscope/viewer/static/learn";
  const missing = readdirSync(folder)
    .filter((file) => file.endsWith(".js") && file !== "code.js" && file !== "draw.js")
    .flatMap((file) => textsOf(readFileSync(`${folder}/${file}`, "utf8")))
    .filter((text) => !(text in JAPANESE));
  assert.deepEqual(missing, []);
  speak("ja");
  assert.equal(keyName([PLACES], 4, read), "1行 1列");
  speak("en");
});

/**
 * What a script gives to t(), and texts that have a name in capitals
 * @param {string} script
 */
function textsOf(script) {
  const literal = /(?:\bt\(|const [A-Z]+ =|\[)\s*((?:"(?:[^"\\]|\\.)*"\s*\+?\s*)+)/g;
  return [...script.matchAll(literal)]
    .map(([, parts]) => [...parts.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, part]) => part).join(""))
    .filter((text) => / [a-z]/.test(text));
}
