// The traces that are open, by number.

/** @import { TraceInfo } from "attnscope/types" */

/**
 * @param {TraceInfo[]} traces
 * @param {number | null} number
 * @returns {TraceInfo | null}
 */
export const traceOf = (traces, number) => traces.find((trace) => trace.number === number) ?? null;
