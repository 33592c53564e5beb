// What goes on in the studio, as the server tells it.

import { channel } from "attnscope/channel";
import { isMine } from "attnscope/studio/maker";
import * as studio from "attnscope/studio/source";

/** @import { RunInfo, StudioInfo } from "attnscope/studio/types" */

const AGAIN_MS = 1500; // after the server did not answer

/** @type {StudioInfo | null} */
let current = null;
const { tell: redraw, useNews } = channel();

export const studioNow = () => current;

/** @param {StudioInfo | null} next */
export function tell(next) {
  current = next;
  redraw();
}

/** What goes on; null where there is no studio */
export function useStudio() {
  useNews();
  return current;
}

/**
 * Asks for news for ever. changed: is told of what was before and what is now
 * @param {(before: StudioInfo | null, now: StudioInfo) => void} changed
 */
export async function follow(changed) {
  for (;;) {
    try {
      const before = current;
      const now = await studio.news(before?.count ?? -1);
      tell(now);
      changed(before, now);
    } catch {
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }
}

/** @param {Pick<RunInfo, "state">} run */
export const isOver = ({ state }) => ["done", "stopped", "failed"].includes(state);

/** Whether this page may stop, rename and delete a run @param {RunInfo} run */
export const mayChange = (run) => !current?.guests || isMine(run);

/**
 * @param {StudioInfo | null} info
 * @param {number | null} number
 * @returns {RunInfo | null}
 */
export const runOf = (info, number) => info?.runs.find((run) => run.number === number) ?? null;

/**
 * The run of a trace, null for a trace of another origin
 * @param {StudioInfo | null} info
 * @param {number | null} trace
 * @returns {RunInfo | null}
 */
export const runOfTrace = (info, trace) =>
  trace === null ? null : (info?.runs.find((run) => run.trace === trace) ?? null);
