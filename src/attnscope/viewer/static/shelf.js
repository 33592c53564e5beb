// The traces that are open, by number. In a studio others come.

import { channel } from "attnscope/channel";
import * as source from "attnscope/source";

/** @import { TraceInfo } from "attnscope/types" */

/** @type {TraceInfo[]} */
let open = [];
const { tell, useNews } = channel();

export const openTraces = () => open;

/** @param {TraceInfo[]} traces */
export function put(traces) {
  open = traces;
  tell();
}

/** Asks the server again which traces there are */
export async function refresh() {
  put((await source.traces()).traces);
}

export function useTraces() {
  useNews();
  return open;
}

/**
 * @param {TraceInfo[]} traces
 * @param {number | null} number
 * @returns {TraceInfo | null}
 */
export const traceOf = (traces, number) => traces.find((trace) => trace.number === number) ?? null;
