// Hooks: the state, and answers to questions that change faster than they are answered.

import { useEffect, useState } from "attnscope/preact";
import { get, listen } from "attnscope/state";

/** @import { Answer, Told } from "attnscope/types" */

export function useView() {
  const [, again] = useState(0);
  useEffect(() => listen(() => again((count) => count + 1)), []);
  return get();
}

/**
 * @template Value
 * @typedef {object} Question
 * @property {string} key
 * @property {string} group
 * @property {(signal: AbortSignal, told: Told) => Promise<Value>} ask
 */

/**
 * @template Value
 * @typedef {{ key: string | null, group: string | null, value: Value | null, error: Error | null }} Answered
 */

/** @typedef {{ done: number, total: number } | null} Progress */

/**
 * Asks one question at a time: the newest waits, those between are never asked. A question of another group
 * stops the one under way; stop() stops it too. After leave() nothing is told any more.
 * @template Value
 * @param {(answer: Answered<Value>) => void} onAnswer
 * @param {(progress: Progress) => void} onProgress
 */
export function asker(onAnswer, onProgress) {
  /** @type {Question<Value> & { stopper: AbortController } | null} */
  let running = null;
  /** @type {Question<Value> | null} */
  let next = null;
  let gone = false;

  /** @param {Answered<Value>} answer */
  const tell = (answer) => {
    if (!gone) onAnswer(answer);
  };

  /** @param {Question<Value>} question */
  const answer = async ({ key, group, ask }) => {
    const stopper = new AbortController();
    running = { key, group, ask, stopper };
    try {
      const value = await ask(stopper.signal, (done, total) => onProgress({ done, total }));
      tell({ key, group, value, error: null });
    } catch (error) {
      tell({ key, group, value: null, error: /** @type {Error} */ (error) });
    }
    running = null;
    onProgress(null);
  };

  const pump = async () => {
    while (next && !running) {
      const asked = next;
      next = null;
      await answer(asked);
    }
  };

  return {
    /** @param {Question<Value>} question */
    ask(question) {
      next = question;
      if (running && running.group !== question.group) running.stopper.abort();
      return pump();
    },
    forget() {
      next = null;
    },
    stop() {
      running?.stopper.abort();
    },
    leave() {
      gone = true;
      running?.stopper.abort();
    },
  };
}

/**
 * The answer to a question, if any, as asker says. The last answer stays until the next is there, unless it
 * is of another group; again() asks once more.
 * @template Value
 * @param {Question<Value>} [question]
 * @returns {Answer<Value>}
 */
export function useAnswer(question) {
  const [answer, setAnswer] = useState(/** @returns {Answered<Value>} */ () => NOTHING);
  const [progress, setProgress] = useState(/** @type {Progress} */ (null));
  const [own] = useState(() => asker(setAnswer, setProgress));
  useEffect(() => {
    if (question) own.ask(question);
    else own.forget();
  }, [question?.key]);
  useEffect(() => own.leave, []);
  return {
    value: question && answer.group === question.group ? answer.value : null,
    error: question && answer.key === question.key ? answer.error : null,
    busy: question !== undefined && answer.key !== question.key,
    progress,
    stop: own.stop,
    again: () => {
      setAnswer((before) => ({ ...before, key: null, error: null }));
      if (question) own.ask(question);
    },
  };
}

/** @type {Answered<never>} */
const NOTHING = { key: null, group: null, value: null, error: null };
