// What a trace is called on the page: a studio's with the number of its run, and whether that was edited.

import { t } from "attnscope/lang";
import { runOfTrace, studioNow } from "attnscope/studio/news";

/** @import { TraceInfo } from "attnscope/types" */

/** @param {TraceInfo} info */
export function nameOf({ number, name }) {
  const run = runOfTrace(studioNow(), number);
  if (!run) return name;
  const isEdited = run.asked !== null && (run.asked.edits.length > 0 || run.asked.layout !== null);
  const values = { number: run.number, name };
  return isEdited ? t("{number}, edited: {name}", values) : t("{number}: {name}", values);
}
