// The state in the address bar: every field goes there and back, and no address opens what can't be shown.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ENTRIES, FIELDS, FIRST, fromHash, toHash } from "attnscope/fields";
import { random } from "./made.js";

/** @import { Stored } from "attnscope/fields" */

/**
 * Values of each field other than its first, with how they stand in the address
 * @type {[keyof Stored, unknown, string][]}
 */
const WRITTEN = [
  ["trace", 3, "t=3"],
  ["other", 0, "with=0"],
  ["mode", "words", "m=words"],
  ["mode", "segments", "m=segments"],
  ["mode", "edit", "m=edit"],
  ["mode", "cutout", "m=cutout"],
  ["block", 15, "b=15"],
  ["block", 0, "b=0"],
  ["head", 7, "h=7"],
  ["kind", "cross", "k=cross"],
  ["key", 4095, "key=4095"],
  ["step", 49, "s=49"],
  ["branch", "uncond", "br=uncond"],
  ["branch", "a&b=c #é", "br=a%26b%3Dc%20%23%C3%A9"],
  ["image", 1, "i=1"],
  ["pins", [[0.5, 0.25]], "pins=0.5%2C0.25"],
  [
    "pins",
    [
      [0.5, 0.25],
      [0, 0.1, 1, 0.9],
    ],
    "pins=0.5%2C0.25%3B0%2C0.1%2C1%2C0.9",
  ],
  ["pin", 1, "pin=1"],
  ["words", [2, "start", 5], "w=2%3Bstart%3B5"],
  ["otherWords", [3, "end"], "w2=3%3Bend"],
  ["otherWords", [], "w2="],
  ["names", [2, 5], "n=2%3B5"],
  ["names", [], "n="],
  ["otherNames", [1], "n2=1"],
  ["colours", "cividis", "c=cividis"],
  ["scale", "log", "sc=log"],
  ["top", 0.0125, "top=0.0125"],
  ["top", 1e-9, "top=1e-9"],
  ["range", "each", "r=each"],
  ["opacity", 0, "o=0"],
  ["through", false, "lt=0"],
  ["contour", true, "ct=1"],
  ["cells", true, "ce=1"],
  ["tau", 1.17, "tau=1.17"],
  ["passes", 10, "pa=10"],
  ["anchors", 32, "an=32"],
  ["weights", "64:1,32:0.5", "we=64%3A1%2C32%3A0.5"],
  ["unite", true, "un=1"],
  ["run", 12, "run=12"],
  ["prompt", "a tree & a house", "q=a%20tree%20%26%20a%20house"],
  ["negative", "all", "qn=all"],
  ["seed", 7, "qs=7"],
  ["count", 30, "qt=30"],
  ["guidance", 0, "qg=0"],
  ["guidance", 7.5, "qg=7.5"],
  ["size", "768x512", "qz=768x512"],
  [
    "edits",
    [{ edit: "ablate", block: 7, kind: "self" }],
    `qe=${encodeURIComponent('[{"edit":"ablate","block":7,"kind":"self"}]')}`,
  ],
  ["diff", true, "df=1"],
  ["placing", "2", "pl=2"],
  ["paints", true, "pt=1"],
  ["layout", { run: 1 }, "ql=%7B%22run%22%3A1%7D"],
  ["theme", "dark", "th=dark"],
  [
    "points",
    [
      { sign: "plus", at: [0.5, 0.25] },
      { sign: "minus", at: [0, 0.125] },
    ],
    "cut=p0.5%2C0.25%3Bm0%2C0.125",
  ],
  ["sign", "minus", "sg=minus"],
  ["cutBlock", 3, "cb=3"],
  ["why", true, "why=1"],
];

for (const [name, value, address] of WRITTEN)
  test(`${name} ${JSON.stringify(value)} is ${address} and back`, () => {
    assert.equal(toHash({ ...FIRST, [name]: value }, FIRST), address);
    assert.deepEqual(fromHash(`#${address}`), { [name]: value });
  });

test("every field is tried above", () => {
  assert.deepEqual(new Set(WRITTEN.map(([name]) => name)), new Set(Object.keys(FIELDS)));
});

test("names in the address differ", () => {
  assert.equal(new Set(ENTRIES.map(([, { short }]) => short)).size, ENTRIES.length);
});

test("first values are valid, and go to the address and back where these traces open with others", () => {
  const others = Object.fromEntries(WRITTEN.map(([name, value]) => [name, value]));
  const base = /** @type {Stored} */ ({ ...FIRST, ...others });
  for (const [, { first, valid }] of ENTRIES) assert.ok(valid(first));
  assert.deepEqual({ ...base, ...fromHash(toHash(FIRST, base)) }, FIRST);
});

test("an address that says nothing opens the first values", () => {
  const where = { trace: 0, other: null, mode: "places", block: null, head: null, step: null };
  const lesson = { kind: "self", key: null };
  const whose = { branch: "cond", image: 0, pins: [], pin: null, words: [], names: null };
  const others = { otherWords: null, otherNames: null };
  const scale = { colours: "ember", scale: "linear", top: null, range: "words" };
  const style = { opacity: 0.8, through: true, contour: false, cells: false };
  const recipe = { tau: null, passes: 3, anchors: 16, weights: "", unite: false };
  const draft = { run: null, prompt: "", negative: "", seed: 0, count: null, guidance: null, size: null };
  const edits = { edits: [], diff: false, placing: null, paints: false, layout: null };
  const look = { ...where, ...lesson, ...whose, ...others, ...scale, ...style, ...recipe };
  const tools = { points: [], sign: "plus", cutBlock: null, why: false };
  assert.deepEqual(FIRST, { ...look, ...draft, ...edits, ...tools, theme: "auto" });
});

test("a whole state goes to the address and back", () => {
  const others = Object.fromEntries(WRITTEN.map(([name, value]) => [name, value]));
  const state = /** @type {Stored} */ ({ ...FIRST, ...others });
  assert.deepEqual({ ...FIRST, ...fromHash(toHash(state, FIRST)) }, state);
});

test("the first state is an empty address", () => {
  assert.equal(toHash(FIRST, FIRST), "");
  assert.deepEqual(fromHash(""), {});
  assert.deepEqual(fromHash("#"), {});
});

test("places are kept to a hundred millionth of the picture", () => {
  const third = { ...FIRST, pins: [/** @type {[number, number]} */ ([1 / 3, 2 / 3])] };
  assert.equal(toHash(third, FIRST), "pins=0.33333333%2C0.66666667");
});

test("all is null where null is a value", () => {
  const nulls = ENTRIES.filter(([name]) => FIRST[name] === null);
  for (const [name, { short }] of nulls) assert.deepEqual(fromHash(`${short}=all`), { [name]: null });
  assert.deepEqual(
    nulls.map(([name]) => name),
    [
      ...["other", "block", "head", "key", "step", "pin", "otherWords", "names", "otherNames", "top", "tau"],
      ...["run", "count", "guidance", "size", "placing", "layout", "cutBlock"],
    ],
  );
});

test("an empty list of words is none", () => {
  assert.deepEqual(fromHash("w=&n="), { words: [], names: [] });
});

test("words that are no numbers name no segments", () => {
  assert.deepEqual(fromHash("n=2;start;4"), { names: [2, 4] });
});

test("points that are none are left out, and the last twenty stay", () => {
  assert.deepEqual(fromHash("cut=p0.1,0.2;0.1,0.2;x0.1,0.2;p0.1;m1,0.2;mx,0.1;m0.3,0.4;p0,0,0"), {
    points: [
      { sign: "plus", at: [0.1, 0.2] },
      { sign: "minus", at: [0.3, 0.4] },
    ],
  });
  const many = Array.from({ length: 30 }, (_, at) => `p0.5,${at / 100}`).join(";");
  const { points } = fromHash(`cut=${many}`);
  assert.equal(points?.length, 20);
  assert.deepEqual(points?.[0].at, [0.5, 0.1]);
  assert.deepEqual(fromHash("cut="), { points: [] });
});

test("pins that are none are left out, the others stay", () => {
  assert.deepEqual(fromHash("pins=0.1,0.2;0.1;0.1,0.2,0.3;0.1,2;x,0.1;-0.1,0;0.1,0.2,0.3,0.4"), {
    pins: [
      [0.1, 0.2],
      [0.1, 0.2, 0.3, 0.4],
    ],
  });
  assert.deepEqual(fromHash("pins="), { pins: [] });
});

/**
 * The limits of numbers: the least and the largest that are taken, and some that are not
 * @type {[keyof Stored, number[], (number | string)[]][]}
 */
const LIMITS = [
  ["trace", [0, 1e4], [-1, 10001, 0.5, "x", "all", "NaN", "Infinity"]],
  ["other", [0, 1e4], [-1, 10001, 0.5, "x"]],
  ["block", [0, 1e4], [-1, 10001, 1.5, "null"]],
  ["head", [0, 1e4], [-1, 10001, 1.5, "h"]],
  ["step", [0, 1e6], [-1, 1000001, 1.5, "last"]],
  ["image", [0, 1e4], [-1, 10001, 1.5, "all"]],
  ["pin", [0, 100], [-1, 101, 1.5]],
  ["top", [1e-12, 1], [0, 9e-13, 1.01, -1, "x"]],
  ["opacity", [0, 1], [-0.01, 1.01, "x", "all"]],
  ["tau", [1e-6, 1e3], [0, 9e-7, 1001, "x"]],
  ["passes", [1, 10], [0, 11, 2.5, "x"]],
  ["anchors", [1, 32], [0, 33, 2.5, "x"]],
];

for (const [name, taken, refused] of LIMITS)
  test(`${name} goes from ${taken.join(" to ")}`, () => {
    const { short, first } = FIELDS[name];
    for (const value of taken) assert.deepEqual(fromHash(`${short}=${value}`), { [name]: value });
    for (const value of refused) assert.deepEqual(fromHash(`${short}=${value}`), { [name]: first });
  });

test("a choice that is none is the first one", () => {
  const given = fromHash("m=other&sc=LOG&c=jet&th=red");
  assert.deepEqual(given, { mode: "places", scale: "linear", colours: "ember", theme: "auto" });
});

test("a tick is 1 and nothing else", () => {
  assert.deepEqual(fromHash("ct=true&ce=0&un="), { contour: false, cells: false, unite: false });
});

test("names that no field has are passed over, the first of two is taken", () => {
  assert.deepEqual(fromHash("#x=1&toString=2&__proto__=3&cursor=0,0&b=4&b=5"), { block: 4 });
});

test("no garbage opens what is not valid", () => {
  const next = random(7);
  const alphabet = [..."019.-ex,;:=&#%é∞", "%2", "%00", "all"];
  const shorts = [...ENTRIES.map(([, { short }]) => short), "zz", ""];
  /** @template V @param {V[]} list */
  const pick = (list) => list[Math.floor(next() * list.length)];
  for (let round = 0; round < 5000; round++) {
    const pairs = Array.from({ length: 4 }, () => {
      const value = Array.from({ length: Math.floor(next() * 6) }, () => pick(alphabet)).join("");
      return `${pick(shorts)}=${value}`;
    });
    const found = fromHash(`#${pairs.join("&")}`);
    for (const [name, field] of ENTRIES) {
      if (name in found) assert.ok(field.valid(found[name]), `${name} of ${pairs.join("&")}`);
    }
    const state = /** @type {Stored} */ ({ ...FIRST, ...found });
    const again = { ...FIRST, ...fromHash(toHash(state, FIRST)) };
    assert.equal(JSON.stringify(again), JSON.stringify(state), pairs.join("&"));
  }
});

test("links whose edits or layout are no plain values are as if they said nothing", () => {
  assert.deepEqual(fromHash("qe=%7B%7D&ql=3&qz=big"), { edits: [], layout: null, size: null });
  assert.deepEqual(fromHash("qe=[&ql={"), { edits: [], layout: null });
});
