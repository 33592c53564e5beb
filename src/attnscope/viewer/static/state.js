// What the page shows: one flat object. All of it but what is under the pointer stands in the address bar, so
// a link reopens the view.

import { FIRST, fromHash, toHash } from "attnscope/fields";

/** @import { Stored, WordId } from "attnscope/fields" */
/** @import { Box } from "attnscope/types" */

/**
 * cursor, touched: the place and the word under the pointer, touchedOther: the word of the second trace;
 * hint: whether help is shown; bare: whether the picture is shown without its map; adding: whether a tap adds
 * a word.
 * @typedef {object} Passing
 * @property {Box | null} cursor
 * @property {WordId | null} [touched]
 * @property {WordId | null} [touchedOther]
 * @property {boolean} [hint]
 * @property {boolean} [bare]
 * @property {boolean} [adding]
 */

/** @typedef {Stored & Passing} State */

let base = FIRST; // what an address leaves out
/** @type {State} */
let current = { ...FIRST, cursor: null };
/** @type {Set<() => void>} */
const listeners = new Set();
/** @type {ReturnType<typeof setTimeout> | undefined} */
let writing;

export function get() {
  return current;
}

/** The part of an address that reopens the view */
export function link() {
  return toHash(current, base);
}

/**
 * Merges a change, tells who listens, and writes the address bar.
 * @param {Partial<State> | ((now: State) => Partial<State>)} change
 */
export function set(change) {
  current = { ...current, ...(typeof change === "function" ? change(current) : change) };
  for (const listener of listeners) listener();
  clearTimeout(writing);
  writing = setTimeout(() => history.replaceState(null, "", `#${link()}`), 120);
}

/** @param {() => void} listener */
export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/**
 * The state of an address
 * @param {string} hash
 * @param {Partial<Stored>} defaults what these traces open with, where the address says nothing
 */
export function open(hash, defaults = {}) {
  base = { ...base, ...defaults };
  current = { ...base, cursor: null, ...fromHash(hash) };
}
