// Where answers come from: this page's own server. An exported page has the same functions over data of its
// own (export-source.js). Every answer is kept for a while, so going back and forth asks nothing. Addresses
// are relative to the page's, which may stand behind a proxy.

import { t } from "attnscope/lang";
import { computedOf, unpackNumbers } from "attnscope/learn/numbers";
import { unpack } from "attnscope/maps";
import { Refused } from "attnscope/refused";

/** @import { AggregateInfo, Box, FieldMap, Found, Problem, Recipe, SegmentsInfo } from "attnscope/types" */
/** @import { KeysInfo, LessonInfo, Numbers } from "attnscope/learn/types" */
/** @import { Kind, Place, Shares, Source, Told, Tops, TraceInfo, TracesInfo, View } from "attnscope/types" */

export const LIVE = /** @type {boolean} */ (true);
const KEPT = 300;
/** @type {Map<string, Promise<unknown>>} */
const kept = new Map();

/**
 * @param {string} path
 * @param {RequestInit} [options]
 */
export async function fetched(path, options) {
  const response = await fetch(path, options).catch((error) => {
    if (error.name === "AbortError") throw error;
    throw new Error(t("The server does not answer. Is `attnscope view` still running?"));
  });
  if (!response.ok) throw await refusal(response);
  return response;
}

/** @param {Response} response */
async function refusal(response) {
  /** @type {Problem} */
  const told = await response.json().catch(() => ({ error: `${response.status} ${response.statusText}` }));
  return Object.assign(new Refused(told.error), { status: response.status });
}

/**
 * @template V
 * @param {string} path
 * @param {(path: string) => Promise<V>} make
 * @returns {Promise<V>}
 */
function once(path, make) {
  const answer = /** @type {Promise<V>} */ (kept.get(path) ?? make(path));
  kept.delete(path);
  kept.set(path, answer); // used last
  answer.catch(() => kept.delete(path));
  const oldest = kept.keys().next().value;
  if (kept.size > KEPT && oldest !== undefined) kept.delete(oldest);
  return answer;
}

/** @param {string} path */
const maps = (path) => once(path, async () => unpack(await (await fetched(path)).arrayBuffer()));

/**
 * @template V
 * @param {string} path
 * @returns {Promise<V>}
 */
const json = (path) => once(path, async () => (await fetched(path)).json());

/** @typedef {string | number | boolean | null | undefined} Plain */
/** @typedef {Record<string, Plain | Plain[]>} Parts */

/** @param {Parts} parts what is null is left out */
function query(parts) {
  const pairs = new URLSearchParams();
  for (const [name, value] of Object.entries(parts)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "") pairs.append(name, String(one));
    }
  }
  return pairs.toString();
}

/** @param {Box} box */
function boxed(box) {
  return box.length === 2
    ? { top: box[0], left: box[1] }
    : { top: box[0], left: box[1], bottom: box[2], right: box[3] };
}

/**
 * @param {number} trace
 * @param {string} what
 * @param {Parts} parts
 */
export const at = (trace, what, parts) => `api/traces/${trace}/${what}?${query(parts)}`;

/** @type {(path: string) => Promise<FieldMap>} */
const oneMap = async (path) => (await maps(path))[0];

/** @typedef {(trace: number, view: View, box: Box) => Promise<FieldMap>} OfBox */
/** @typedef {(trace: number, view: View, tokens: number[]) => Promise<FieldMap>} OfTokens */
/** @typedef {(trace: number, view: View, box: Box) => Promise<FieldMap[]>} ManyOfBox */
/** @typedef {(trace: number, view: View, tokens: number[]) => Promise<FieldMap[]>} ManyOfTokens */

/** @type {() => Promise<TracesInfo>} */
export const traces = async () => (await fetched("api/traces")).json(); // others come in a studio

/** @type {(trace: number, image: number) => string | null} */
export const picture = (trace, image) => at(trace, "picture", { image });

/** @type {OfBox} */
export const place = (trace, view, box) => oneMap(at(trace, "place", { ...view, ...boxed(box) }));

/** @type {OfTokens} */
export const words = (trace, view, token) => oneMap(at(trace, "words", { ...view, token }));

/** @type {ManyOfBox} */
export const placeBlocks = (trace, view, box) =>
  maps(at(trace, "blocks", { ...view, block: null, ...boxed(box) }));

/** @type {ManyOfTokens} */
export const wordBlocks = (trace, view, token) => maps(at(trace, "blocks", { ...view, block: null, token }));

/** @type {ManyOfBox} */
export const placeHeads = (trace, view, box) =>
  maps(at(trace, "heads", { ...view, head: null, ...boxed(box) }));

/** @type {ManyOfTokens} */
export const wordHeads = (trace, view, token) => maps(at(trace, "heads", { ...view, head: null, token }));

/** @type {(trace: number, view: View, box: Box) => Promise<ArrayLike<number>>} */
export async function shares(trace, view, box) {
  /** @type {Shares} */
  const found = await json(at(trace, "shares", { ...view, ...boxed(box) }));
  return found.shares;
}

/** @typedef {"view" | "block" | "head"} Each */

/**
 * The brightest value of all words' maps
 * @type {(trace: number, view: View, each: Each) => Promise<Tops>}
 */
export const tops = (trace, view, each) => json(at(trace, "tops", { ...view, each }));

// Lessons

/** @type {(trace: number) => Promise<LessonInfo>} */
export const lesson = (trace) => json(`api/traces/${trace}/lesson`);

/** @typedef {View & { kind: Kind }} Headed */

/** @type {(path: string) => Promise<ArrayBuffer>} */
const bytes = async (path) => (await fetched(path)).arrayBuffer();

/**
 * The computation of a place, with K and V of its head
 * @param {number} trace
 * @param {View} view
 * @param {Kind} kind
 * @param {Place} box
 */
export async function computation(trace, view, kind, box) {
  const row = once(at(trace, "computation", { ...view, kind, ...boxed(box) }), async (path) =>
    unpackNumbers(await bytes(path)),
  );
  const [told, keys] = await Promise.all([row, headKeys(at(trace, "keys", { ...view, kind }))]);
  return keys instanceof Error ? computedOf(told, null, keys.message) : computedOf(told, keys, "");
}

const KEPT_HEADS = 4; // their K and V may be megabytes
/** @type {Map<string, Promise<Numbers<KeysInfo> | Error>>} */
const heads = new Map();

/**
 * K and V of a head; why not, where they are too large
 * @param {string} path
 */
function headKeys(path) {
  const answer =
    heads.get(path) ??
    bytes(path)
      .then((body) => unpackNumbers(body))
      .catch(refused);
  heads.delete(path);
  heads.set(path, answer);
  answer.catch(() => heads.delete(path));
  const oldest = heads.keys().next().value;
  if (heads.size > KEPT_HEADS && oldest !== undefined) heads.delete(oldest);
  return answer;
}

/** A refusal of this question alone is shown in its place. @param {Error & { status?: number }} error */
function refused(error) {
  if (error.status !== 400) throw error;
  return error;
}

/** @type {(trace: number, view: View, kind: Kind, place: Place) => string} */
export const computationFile = (trace, view, kind, box) =>
  at(trace, "computation", { ...view, kind, ...boxed(box), format: "npz" });

// Addresses of files to keep

/** @type {(trace: number, view: View, box: Box, format: string) => string} */
export const placeFile = (trace, view, box, format) => at(trace, "place", { ...view, ...boxed(box), format });

/** @type {(trace: number, view: View, token: number[], format: string) => string} */
export const wordsFile = (trace, view, token, format) => at(trace, "words", { ...view, token, format });

/** @type {(trace: number, asked: Source & Recipe, format: string) => string} */
export const labelsFile = (trace, asked, format) => at(trace, "labels", { ...asked, format });

/** How many steps means are over: an exported page may have fewer. @type {(info: TraceInfo) => number} */
export const stepCount = (info) => info.steps.length;

/** What there is to say of single steps, empty for nothing: an exported page's are coarser. */
export const aboutSteps = () => "";

/** The thresholds that can be asked for, null for any: only an exported page has a list. */
export const thresholds = () => /** @type {number[] | null} */ (null);

const POLL_MS = 150;

/**
 * @param {string} address
 * @param {RequestInit} [options]
 * @returns {Promise<AggregateInfo>}
 */
const aggregate = async (address, options) => (await fetched(address, options)).json();

/**
 * Segments of a trace: aggregates its attention first, which may take long.
 * @param {number} trace
 * @param {Source} source
 * @param {Recipe} recipe
 * @param {Told} told as for waited
 * @param {AbortSignal} [signal]
 * @returns {Promise<Found>}
 */
export async function segments(trace, source, recipe, told, signal) {
  await waited(at(trace, "aggregate", { ...source }), told, signal);
  return ready(trace, { ...source, ...recipe });
}

/**
 * Begins long work of the server and waits for its end. told(done, total) is called meanwhile; aborting the
 * signal cancels the work on the server.
 * @param {string} address
 * @param {Told} told
 * @param {AbortSignal} [signal]
 */
export async function waited(address, told, signal) {
  let state = await aggregate(address);
  if (state.state === "failed") state = await aggregate(address, { method: "POST" });
  while (state.state === "running" || state.state === "absent") {
    // absent: not asked for yet, or somebody else has cancelled it
    if (state.state === "absent") await fetched(address, { method: "POST" });
    else told(state.done, state.total);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    if (signal?.aborted) {
      await fetched(address, { method: "DELETE" });
      throw new DOMException("cancelled", "AbortError");
    }
    state = await aggregate(address);
  }
  if (state.state === "failed") throw new Refused(state.error);
}

/**
 * Not kept here: labels of a large picture are megabytes, and the server has them
 * @param {number} trace
 * @param {Source & Recipe} asked
 */
async function ready(trace, asked) {
  /** @type {SegmentsInfo} */
  const found = await (await fetched(at(trace, "segments", { ...asked }))).json();
  const labels = new Uint16Array(await (await fetched(at(trace, "labels", { ...asked }))).arrayBuffer());
  return { ...found, labels, labels_height: found.height, labels_width: found.width };
}
