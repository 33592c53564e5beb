// The fields of the state in one table: the name of each in the address bar, what it takes, its first value.

/** @import { Point } from "attnscope/tools/points" */
/** @import { Box } from "attnscope/types" */

import { RAMP_NAMES } from "attnscope/ramps";

/** @import { Edit, Layout } from "attnscope/studio/types" */

/** @typedef {number | string} WordId a word's place in the prompt, or "start", "end", "padding" */

/**
 * read, write: a value from and to the address; valid: what a link may say; all else is as if left out
 * @template V
 * @typedef {{ read(text: string): V, write(value: V): string, valid(value: V): boolean }} Kind
 */

/**
 * @template V
 * @typedef {Kind<V> & { short: string, first: V }} Field
 */

const always = () => true;

/**
 * @param {number} low
 * @param {number} high
 * @returns {Kind<number>}
 */
const number = (low, high) => ({
  read: Number,
  write: String,
  valid: (value) => value >= low && value <= high,
});

/**
 * @param {number} low
 * @param {number} high
 * @returns {Kind<number>}
 */
function whole(low, high) {
  const within = number(low, high);
  return { ...within, valid: (value) => Number.isInteger(value) && within.valid(value) };
}

/**
 * @template {string} V
 * @param {V[]} choices
 * @returns {Kind<V>}
 */
const oneOf = (...choices) => ({
  read: (text) => /** @type {V} */ (text),
  write: (value) => value,
  valid: (value) => choices.includes(value),
});

/** @type {Kind<string>} */
const text = { read: (value) => value, write: (value) => value, valid: always };

/** @type {Kind<boolean>} */
const flag = { read: (value) => value === "1", write: (value) => (value ? "1" : "0"), valid: always };

/** @param {string} word */
const isNumber = (word) => /^\d+$/.test(word);

/** @type {Kind<WordId[]>} */
const wordIds = {
  read: (list) => (list ? list.split(";").map((word) => (isNumber(word) ? Number(word) : word)) : []),
  write: (words) => words.join(";"),
  valid: always,
};

/** Words that are no numbers name no segments. @type {Kind<number[]>} */
const wordNumbers = {
  read: (list) => list.split(";").filter(isNumber).map(Number),
  write: (words) => words.join(";"),
  valid: always,
};

/** @param {number[]} box */
const isBox = (box) => [2, 4].includes(box.length) && box.every((share) => share >= 0 && share <= 1);

/** @param {number} share */
const rounded = (share) => Math.round(share * 1e8) / 1e8;

/** Of several boxes in a link those that are none are left out. @type {Kind<Box[]>} */
const boxes = {
  read: (list) => {
    const given = list.split(";").map((box) => box.split(",").map(Number));
    return /** @type {Box[]} */ (given.filter(isBox));
  },
  write: (all) => all.map((box) => box.map(rounded).join(",")).join(";"),
  valid: (all) => all.every(isBox),
};

export const MOST_POINTS = 20; // of clicks, as the server takes

/** @param {Point} point */
const isPoint = ({ at }) => at.length === 2 && at.every((share) => share >= 0 && share < 1);

/** p0.5,0.2 is on the thing, m0.5,0.2 beside it; what is neither is left out. @type {Kind<Point[]>} */
const points = {
  read: (list) =>
    list
      .split(";")
      .filter((point) => /^[pm]/.test(point))
      .map((point) => {
        const at = /** @type {Point["at"]} */ (point.slice(1).split(",").map(Number));
        return /** @type {Point} */ ({ sign: point[0] === "p" ? "plus" : "minus", at });
      })
      .filter(isPoint)
      .slice(-MOST_POINTS),
  write: (all) => all.map(({ sign, at }) => `${sign[0]}${at.map(rounded).join(",")}`).join(";"),
  valid: (all) => all.length <= MOST_POINTS && all.every(isPoint),
};

/**
 * Null too, which stands as "all" in the address
 * @template V
 * @param {Kind<V>} kind
 * @returns {Kind<V | null>}
 */
const orAll = (kind) => ({
  read: (value) => (value === "all" ? null : kind.read(value)),
  write: (value) => (value === null ? "all" : kind.write(value)),
  valid: (value) => value === null || kind.valid(value),
});

/**
 * @template V
 * @param {string} short
 * @param {Kind<V>} kind
 * @param {V} first
 * @returns {Field<V>}
 */
const field = (short, kind, first) => ({ short, first, ...kind });

/** @param {string} value */
function parsed(value) {
  try {
    return JSON.parse(value);
  } catch {
    return undefined; // no link of ours
  }
}

/**
 * Plain values; what they may be is checked by whoever gets them
 * @template V
 * @param {(value: unknown) => boolean} valid
 * @returns {Kind<V>}
 */
const plain = (valid) => ({ read: parsed, write: JSON.stringify, valid });

/** @type {Kind<string>} */
const sizeText = { ...text, valid: (value) => /^\d{1,4}x\d{1,4}$/.test(value) };

/** @param {unknown} value */
const isLayout = (value) => typeof value === "object" && value !== null && "run" in value;

export const FIELDS = {
  trace: field("t", whole(0, 1e4), 0), // number of the trace
  other: field("with", orAll(whole(0, 1e4)), null), // a second trace beside it
  mode: field("m", oneOf("places", "words", "segments", "cutout", "learn", "edit"), "places"),
  block: field("b", orAll(whole(0, 1e4)), null), // null: the mean over all, as for head and step
  head: field("h", orAll(whole(0, 1e4)), null),
  kind: field("k", oneOf("self", "cross"), "self"), // of a lesson's layer
  key: field("key", orAll(whole(0, 1e7)), null), // that a lesson looks at; null: the strongest
  step: field("s", orAll(whole(0, 1e6)), null),
  branch: field("br", text, "cond"),
  image: field("i", whole(0, 1e4), 0),
  pins: field("pins", boxes, []),
  pin: field("pin", orAll(whole(0, 100)), null), // number of the pin that is looked at
  words: field("w", wordIds, []),
  otherWords: field("w2", orAll(wordIds), null), // of the second trace; null: the same words
  names: field("n", orAll(wordNumbers), null), // words that name segments; null: all that may be a thing
  otherNames: field("n2", orAll(wordNumbers), null), // of the second trace; null: the same words
  colours: field("c", oneOf(...RAMP_NAMES), "ember"),
  scale: field("sc", oneOf("linear", "log"), "linear"),
  top: field("top", orAll(number(1e-12, 1)), null), // value of the brightest colour; null: as range says
  range: field("r", oneOf("words", "each"), "words"), // words: one for all; each: each map its own
  opacity: field("o", number(0, 1), 0.8),
  through: field("lt", flag, true), // the picture shows through where there is little attention
  contour: field("ct", flag, false),
  cells: field("ce", flag, false), // cells as squares instead of interpolating between them
  tau: field("tau", orAll(number(1e-6, 1e3)), null), // null: the model's own threshold
  passes: field("pa", whole(1, 10), 3),
  anchors: field("an", whole(1, 32), 16),
  weights: field("we", text, ""),
  unite: field("un", flag, false),
  run: field("run", orAll(whole(1, 1e9)), null), // the studio's run that is looked at
  prompt: field("q", text, ""), // of the next picture, as all that follows
  negative: field("qn", text, ""),
  seed: field("qs", whole(0, Number.MAX_SAFE_INTEGER), 0),
  count: field("qt", orAll(whole(1, 250)), null), // of steps; null: the model's own, as for what follows
  guidance: field("qg", orAll(number(0, 100)), null),
  size: field("qz", orAll(sizeText), null), // HEIGHTxWIDTH in pixels
  edits: field("qe", /** @type {Kind<Edit[]>} */ (plain(Array.isArray)), []),
  diff: field("df", flag, false), // where the pictures of two traces differ
  placing: field("pl", orAll(text), null), // the word that is being placed
  paints: field("pt", flag, false), // with a brush instead of a box
  layout: field("ql", orAll(/** @type {Kind<Layout>} */ (plain(isLayout))), null), // of an earlier run
  points: field("cut", points, []), // on the thing that is cut out, and beside it
  sign: field("sg", oneOf("plus", "minus"), "plus"), // what a click without Shift is
  cutBlock: field("cb", orAll(whole(0, 1e4)), null), // whose attention answers clicks; null: the usual ones
  why: field("why", flag, false), // whether the chosen words are explained
  theme: field("th", oneOf("auto", "dark", "light"), "auto"),
};

/** @typedef {{ [Name in keyof typeof FIELDS]: (typeof FIELDS)[Name]["first"] }} Stored */

export const ENTRIES = /** @type {[keyof Stored, Field<unknown>][]} */ (Object.entries(FIELDS));

/** What a link that says nothing opens */
export const FIRST = /** @type {Stored} */ (
  /** @type {unknown} */ (Object.fromEntries(ENTRIES.map(([name, { first }]) => [name, first])))
);

/**
 * The fields that an address names
 * @param {string} hash
 * @returns {Partial<Stored>}
 */
export function fromHash(hash) {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const found = ENTRIES.filter(([, { short }]) => given.has(short)).map(([name, one]) => {
    const value = one.read(given.get(one.short) ?? "");
    return [name, one.valid(value) ? value : one.first];
  });
  return Object.fromEntries(found);
}

/**
 * The address of what differs from base
 * @param {Stored} state
 * @param {Stored} base
 */
export function toHash(state, base) {
  return ENTRIES.filter(([name]) => JSON.stringify(state[name]) !== JSON.stringify(base[name]))
    .map(([name, { short, write }]) => `${short}=${encodeURIComponent(write(state[name]))}`)
    .join("&");
}
