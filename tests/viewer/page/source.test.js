// Answers of the server: asked once, refusals in words, long work waited for.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import * as source from "attnscope/source";

/** @import { Recipe, Source, View } from "attnscope/types" */

/** @type {[string, string][]} */
let asked = [];
/** @type {(path: string, method: string) => unknown} */
let answer = () => ({});

Object.assign(globalThis, {
  fetch: async (/** @type {string} */ path, /** @type {RequestInit} */ options) => {
    const method = options?.method ?? "GET";
    asked.push([method, path]);
    const body = await answer(path, method);
    return body instanceof Response ? body : Response.json(body);
  },
});
beforeEach(() => {
  asked = [];
});

/** @type {View} */
const VIEW = { block: null, head: null, step: null, branch: "cond", image: 0 };
/** @type {Source} */
const FROM = { step: 1, branch: "cond", image: 0, weights: "" };
/** @type {Recipe} */
const RECIPE = { threshold: 0.5, passes: 3, anchors: 16, unite: false, word: [2, 5] };

test("an answer is asked for once, one that failed again", async () => {
  answer = () => ({ shares: [1, 2] });
  await source.shares(0, VIEW, [0.1, 0.1]);
  assert.deepEqual(await source.shares(0, VIEW, [0.1, 0.1]), [1, 2]);
  assert.equal(asked.length, 1);
  answer = () => Promise.reject(new TypeError("no network"));
  await assert.rejects(source.shares(0, VIEW, [0.2, 0.2]), /The server does not answer/);
  answer = () => ({ shares: [3] });
  assert.deepEqual(await source.shares(0, VIEW, [0.2, 0.2]), [3]);
});

test("of many answers the last 300 are kept", async () => {
  answer = () => ({ shares: [] });
  for (let at = 0; at <= 300; at++) await source.shares(1, VIEW, [at / 1000, 0]);
  assert.equal(asked.length, 301);
  await source.shares(1, VIEW, [0.001, 0]);
  assert.equal(asked.length, 301);
  await source.shares(1, VIEW, [0, 0]);
  assert.equal(asked.length, 302);
});

test("what is looked at again is kept longer", async () => {
  answer = () => ({ shares: [] });
  for (let at = 0; at < 300; at++) await source.shares(2, VIEW, [at / 1000, 0]);
  await source.shares(2, VIEW, [0, 0]);
  await source.shares(2, VIEW, [0.9, 0]);
  asked = [];
  await source.shares(2, VIEW, [0, 0]);
  assert.deepEqual(asked, []);
});

test("a refusal is the server's sentence, or its status where it says none", async () => {
  answer = () => Response.json({ error: "head 99: this trace has heads 0 to 7" }, { status: 404 });
  const refused = { message: "head 99: this trace has heads 0 to 7", status: 404 };
  await assert.rejects(source.shares(0, VIEW, [0.3, 0.3]), refused);
  answer = () => new Response("<h1>", { status: 502, statusText: "Bad Gateway" });
  await assert.rejects(source.shares(0, VIEW, [0.3, 0.3]), { message: "502 Bad Gateway" });
});

test("a picture has an address", () => {
  assert.equal(source.picture(1, 2), "api/traces/1/picture?image=2");
});

test("addresses of files say all that is chosen and nothing that is not", () => {
  const view = { ...VIEW, block: 0, step: 3 };
  const place = "api/traces/2/place?block=0&step=3&branch=cond&image=0";
  assert.equal(source.placeFile(2, view, [0.25, 0.5], "npz"), `${place}&top=0.25&left=0.5&format=npz`);
  const region = `${place}&top=0&left=0.1&bottom=0.5&right=1&format=npz`;
  assert.equal(source.placeFile(2, view, [0, 0.1, 0.5, 1], "npz"), region);
  const words = "api/traces/0/words?branch=cond&image=0&token=0&token=4&format=npz";
  assert.equal(source.wordsFile(0, VIEW, [0, 4], "npz"), words);
  const labels =
    "api/traces/0/labels?step=1&branch=cond&image=0&threshold=0.5&passes=3&anchors=16&unite=false";
  assert.equal(source.labelsFile(0, { ...FROM, ...RECIPE }, "png"), `${labels}&word=2&word=5&format=png`);
});

/**
 * A server whose aggregate goes through these states, one at each question
 * @param {object[]} states
 */
function aggregating(states) {
  const rest = [...states];
  answer = (path, method) => {
    if (path.includes("/labels")) return new Response(Uint16Array.of(0, 1).buffer);
    if (path.includes("/segments")) return { height: 1, width: 2, segments: [] };
    return method === "GET" ? (rest.length > 1 ? rest.shift() : rest[0]) : rest[0];
  };
}

test("segments wait for the aggregate, and tell how far it is", async () => {
  const running = { state: "running", done: 3, total: 9 };
  aggregating([{ state: "absent" }, running, { state: "ready" }]);
  /** @type {number[][]} */
  const told = [];
  const found = await source.segments(0, FROM, RECIPE, (...progress) => told.push(progress));
  assert.deepEqual(told, [[3, 9]]);
  assert.deepEqual([[...found.labels], found.labels_height, found.labels_width], [[0, 1], 1, 2]);
  assert.deepEqual(
    asked.map(([method, path]) => `${method} ${path.split(/[/?]/)[3]}`),
    ["GET aggregate", "POST aggregate", "GET aggregate", "GET aggregate", "GET segments", "GET labels"],
  );
});

test("an aggregate that failed before is tried once more, then its error is told", async () => {
  aggregating([{ state: "failed", error: "no memory" }]);
  await assert.rejects(
    source.segments(0, FROM, RECIPE, () => {}),
    { message: "no memory" },
  );
  assert.deepEqual(
    asked.map(([method]) => method),
    ["GET", "POST"],
  );
});

test("who stops waiting stops the work on the server", async () => {
  aggregating([{ state: "running", done: 0, total: 9 }]);
  const stopper = new AbortController();
  const waiting = source.segments(0, FROM, RECIPE, () => stopper.abort(), stopper.signal);
  await assert.rejects(waiting, { name: "AbortError" });
  assert.equal(asked.at(-1)?.[0], "DELETE");
});
