// Hooks: the state, and answers to questions that change faster than they are answered.

import { useEffect, useRef, useState } from "preact";
import { get, listen } from "attnscope/state";

export function useView() {
  const [, again] = useState(0);
  useEffect(() => listen(() => again((count) => count + 1)), []);
  return get();
}

// The answer to the question `key`: ask(signal, told) is called for it. One question is under way at a time, the newest
// waits, those between are never asked. The last answer stays until the next is there. A question of another group
// stops the one under way, and its answer is not shown any more; stop() stops it too, again() asks it once more.
// Returns {value, error, busy, progress, stop, again}.
export function useAnswer(key, ask, group = "") {
  const [answer, setAnswer] = useState({ key: null, group: null, value: null, error: null });
  const [progress, setProgress] = useState(null);
  const slot = useRef({ running: null, next: null, gone: false }).current;

  const pump = async () => {
    while (slot.next && !slot.running) {
      const asked = slot.next;
      slot.next = null;
      slot.running = { ...asked, stopper: new AbortController() };
      try {
        const value = await asked.ask(slot.running.stopper.signal, (done, total) => setProgress({ done, total }));
        if (!slot.gone) setAnswer({ key: asked.key, group: asked.group, value, error: null });
      } catch (error) {
        if (!slot.gone) setAnswer({ key: asked.key, group: asked.group, value: null, error });
      }
      slot.running = null;
      setProgress(null);
    }
  };

  useEffect(() => {
    if (key === null) {
      slot.next = null;
      return;
    }
    slot.next = { key, ask, group };
    if (slot.running && slot.running.group !== group) slot.running.stopper.abort();
    pump();
  }, [key]);
  useEffect(
    () => () => {
      slot.gone = true;
      slot.running?.stopper.abort();
    },
    [],
  );

  return {
    value: key !== null && answer.group === group ? answer.value : null,
    error: key === answer.key ? answer.error : null,
    busy: key !== null && answer.key !== key,
    progress,
    stop: () => slot.running?.stopper.abort(),
    again: () => {
      slot.next = { key, ask, group };
      setAnswer((before) => ({ ...before, key: null, error: null }));
      pump();
    },
  };
}
