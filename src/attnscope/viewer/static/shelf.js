// The traces that are open, by number. In a studio others come.

import { useEffect, useState } from "attnscope/preact";
import * as source from "attnscope/source";

/** @import { TraceInfo } from "attnscope/types" */

/** @type {TraceInfo[]} */
let open = [];
/** @type {Set<() => void>} */
const listeners = new Set();

export const openTraces = () => open;

/** @param {TraceInfo[]} traces */
export function put(traces) {
  open = traces;
  for (const listener of listeners) listener();
}

/** Asks the server again which traces there are */
export async function refresh() {
  put((await source.traces()).traces);
}

export function useTraces() {
  const [, again] = useState(0);
  useEffect(() => {
    const listener = () => again((count) => count + 1);
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
    };
  }, []);
  return open;
}

/**
 * @param {TraceInfo[]} traces
 * @param {number | null} number
 * @returns {TraceInfo | null}
 */
export const traceOf = (traces, number) => traces.find((trace) => trace.number === number) ?? null;
