// One question at a time: the newest waits, those between are never asked.

import assert from "node:assert/strict";
import { test } from "node:test";
import { asker } from "attnscope/asking";

/** @import { Told } from "attnscope/types" */

/**
 * @typedef {object} Asked
 * @property {(value: string) => void} resolve
 * @property {(error: Error) => void} reject
 * @property {AbortSignal} signal
 * @property {Told} told
 */

/** An asker whose questions are answered by hand */
function byHand() {
  /** @type {Record<string, Asked>} */
  const asked = {};
  /** @type {string[]} */
  const order = [];
  /** @type {unknown[]} */
  const answers = [];
  /** @type {unknown[]} */
  const progress = [];
  const own = asker(
    (answer) => answers.push(answer),
    (one) => progress.push(one),
  );
  /** @param {string} key @param {string} group */
  const ask = (key, group = "one") =>
    own.ask({
      key,
      group,
      ask: (signal, told) => {
        order.push(key);
        return new Promise((resolve, reject) => (asked[key] = { resolve, reject, signal, told }));
      },
    });
  return { ...own, ask, asked, order, answers, progress };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

/** @param {string} key @param {string} value @param {string} group */
const told = (key, value, group = "one") => ({ key, group, value, error: null });

test("those between the first and the newest are never asked", async () => {
  const { ask, asked, order, answers } = byHand();
  for (const key of ["a", "b", "c", "d"]) ask(key);
  assert.deepEqual(order, ["a"]);
  asked.a.resolve("A");
  await settled();
  assert.deepEqual(order, ["a", "d"]);
  asked.d.resolve("D");
  await settled();
  assert.deepEqual(answers, [told("a", "A"), told("d", "D")]);
  assert.deepEqual(order, ["a", "d"]);
});

test("after a pause the next question is asked at once", async () => {
  const { ask, asked, order } = byHand();
  ask("a");
  asked.a.resolve("A");
  await settled();
  ask("b");
  assert.deepEqual(order, ["a", "b"]);
});

test("a question that fails is told, and the next is asked", async () => {
  const { ask, asked, answers, order } = byHand();
  ask("a");
  ask("b");
  const error = new Error("no");
  asked.a.reject(error);
  await settled();
  assert.deepEqual(answers, [{ key: "a", group: "one", value: null, error }]);
  assert.deepEqual(order, ["a", "b"]);
});

test("a question that throws at once is told like any other", async () => {
  /** @type {(Error | null)[]} */
  const errors = [];
  const own = asker(
    (answer) => errors.push(answer.error),
    () => {},
  );
  const error = new Error("no grid");
  own.ask({
    key: "a",
    group: "one",
    ask: () => {
      throw error;
    },
  });
  await settled();
  assert.deepEqual(errors, [error]);
});

test("a question of another group stops the one under way, one of the same does not", () => {
  const { ask, asked } = byHand();
  ask("a");
  ask("b");
  assert.equal(asked.a.signal.aborted, false);
  ask("c", "two");
  assert.equal(asked.a.signal.aborted, true);
});

test("what is forgotten is not asked", async () => {
  const { ask, asked, order, forget } = byHand();
  ask("a");
  ask("b");
  forget();
  asked.a.resolve("A");
  await settled();
  assert.deepEqual(order, ["a"]);
});

test("stop aborts what is under way, and does no harm where nothing is", async () => {
  const { ask, asked, stop } = byHand();
  stop();
  ask("a");
  stop();
  assert.equal(asked.a.signal.aborted, true);
  asked.a.resolve("A");
  await settled();
  ask("b");
  assert.equal(asked.b.signal.aborted, false);
});

test("who has left is told nothing, and its question stops", async () => {
  const { ask, asked, answers, leave } = byHand();
  ask("a");
  leave();
  asked.a.resolve("A");
  await settled();
  assert.equal(asked.a.signal.aborted, true);
  assert.deepEqual(answers, []);
});

test("progress is told, and ends with the question", async () => {
  const { ask, asked, progress } = byHand();
  ask("a");
  asked.a.told(3, 8);
  asked.a.resolve("A");
  await settled();
  assert.deepEqual(progress, [{ done: 3, total: 8 }, null]);
});
