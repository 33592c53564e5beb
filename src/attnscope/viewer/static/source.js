// Where answers come from: this page's own server. An exported page has the same functions over data of its own
// (export-source.js). Every answer is kept for a while, so going back and forth asks nothing.

import { unpack } from "attnscope/maps";

export const LIVE = true;
const KEPT = 300;
const kept = new Map();

export class Refused extends Error {}

async function fetched(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("The server does not answer. Is `attnscope view` still running?");
  }
  if (!response.ok) {
    const told = await response.json().catch(() => ({ error: `${response.status} ${response.statusText}` }));
    throw Object.assign(new Refused(told.error), { status: response.status });
  }
  return response;
}

function once(path, make) {
  const answer = kept.get(path) ?? make(path);
  kept.delete(path);
  kept.set(path, answer); // used last
  answer.catch(() => kept.delete(path));
  if (kept.size > KEPT) kept.delete(kept.keys().next().value);
  return answer;
}

const maps = (path) => once(path, async () => unpack(await (await fetched(path)).arrayBuffer()));
const json = (path) => once(path, async () => (await fetched(path)).json());

function query(parts) {
  const pairs = new URLSearchParams();
  for (const [name, value] of Object.entries(parts)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "") pairs.append(name, one);
    }
  }
  return pairs.toString();
}

function boxed(box) {
  return box.length === 2
    ? { top: box[0], left: box[1] }
    : { top: box[0], left: box[1], bottom: box[2], right: box[3] };
}

const at = (trace, what, parts) => `/api/traces/${trace}/${what}?${query(parts)}`;

export const traces = () => json("/api/traces");
export const picture = (trace, image) => at(trace, "picture", { image });
export const place = async (trace, view, box) => (await maps(at(trace, "place", { ...view, ...boxed(box) })))[0];
export const words = async (trace, view, token) => (await maps(at(trace, "words", { ...view, token })))[0];
export const placeBlocks = (trace, view, box) => maps(at(trace, "blocks", { ...view, block: null, ...boxed(box) }));
export const wordBlocks = (trace, view, token) => maps(at(trace, "blocks", { ...view, block: null, token }));
export const placeHeads = (trace, view, box) => maps(at(trace, "heads", { ...view, head: null, ...boxed(box) }));
export const wordHeads = (trace, view, token) => maps(at(trace, "heads", { ...view, head: null, token }));
export const shares = async (trace, view, box) => (await json(at(trace, "shares", { ...view, ...boxed(box) }))).shares;

// Addresses of files to keep
export const placeFile = (trace, view, box, format) => at(trace, "place", { ...view, ...boxed(box), format });
export const wordsFile = (trace, view, token, format) => at(trace, "words", { ...view, token, format });
export const labelsFile = (trace, asked, format) => at(trace, "labels", { ...asked, format });

const POLL_MS = 150;

// Segments of a trace: aggregates its attention first, which may take long. told(done, total) is called meanwhile;
// aborting the signal cancels the work on the server.
export async function segments(trace, source, recipe, told, signal) {
  const address = at(trace, "aggregate", source);
  let state = await (await fetched(address)).json();
  if (state.state === "failed") state = await (await fetched(address, { method: "POST" })).json();
  while (state.state === "running" || state.state === "absent") {
    // absent: not asked for yet, or somebody else has cancelled it
    if (state.state === "absent") await fetched(address, { method: "POST" });
    else told(state.done, state.total);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    if (signal?.aborted) {
      await fetched(address, { method: "DELETE" });
      throw new DOMException("cancelled", "AbortError");
    }
    state = await (await fetched(address)).json();
  }
  if (state.state === "failed") throw new Refused(state.error);
  return ready(trace, { ...source, ...recipe });
}

// Not kept here: labels of a large picture are megabytes, and the server has them
async function ready(trace, asked) {
  const found = await (await fetched(at(trace, "segments", asked))).json();
  const labels = new Uint16Array(await (await fetched(at(trace, "labels", asked))).arrayBuffer());
  return { ...found, labels, labels_height: found.height, labels_width: found.width };
}
