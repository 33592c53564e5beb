// Which run is looked at, and what follows for the traces that are shown.

import { tell } from "attnscope/copying";
import { t } from "attnscope/lang";
import { openTraces, refresh, traceOf } from "attnscope/shelf";
import { get, set } from "attnscope/state";
import { draftOf } from "attnscope/studio/draft";
import { isOver, runOf, runOfTrace, studioNow } from "attnscope/studio/news";
import { firstWords, textOf } from "attnscope/words";

/** @import { RunInfo, StudioInfo } from "attnscope/studio/types" */
/** @import { State } from "attnscope/state" */
/** @import { TraceInfo } from "attnscope/types" */

/**
 * Looks at a run: at its trace, if there is one, beside that of the run that it changes
 * @param {number} number
 */
export function lookAt(number) {
  const info = studioNow();
  const run = runOf(info, number);
  if (!run) return;
  set({ run: number, cursor: null });
  if (!get().prompt && run.asked) set({ ...draftOf(run.asked), edits: [], layout: null });
  if (run.trace !== null) show(run.trace, runOf(info, run.asked?.before ?? null)?.trace ?? null);
}

/**
 * Whether a run was changed into another, so that it stands before it
 * @param {TraceInfo} one
 * @param {TraceInfo} other
 */
export function isBefore(one, other) {
  const info = studioNow();
  const before = runOfTrace(info, one.number);
  return before !== null && runOfTrace(info, other.number)?.asked?.before === before.number;
}

/**
 * Shows a trace, beside another one or alone; words stay where the prompt is the same
 * @param {number} trace
 * @param {number | null} before
 */
export function show(trace, before) {
  const traces = openTraces();
  const info = traceOf(traces, trace);
  if (!info) return;
  const state = get();
  const image = info.images.length > 1 && runOfTrace(studioNow(), trace)?.asked?.layout ? 1 : 0;
  const earlier = traceOf(traces, state.trace);
  const branch = info.branches.includes(state.branch) ? state.branch : (info.branches.at(-1) ?? "cond");
  const read = textOf(info, { image, branch });
  const isSame = earlier && textOf(earlier, state).text === read.text;
  /** @type {Partial<State>} */
  const words = isSame && state.words.length ? {} : { words: firstWords(read), names: null };
  const step = info.steps.some(({ index }) => index === state.step) ? state.step : info.step;
  const other = before !== null && before !== trace && traceOf(traces, before) ? before : null;
  set({ trace, other, image, branch, step, weights: "", cursor: null, ...words });
}

/**
 * The run that was looked at is not there any more: the newest one takes its place, in the form, too
 * @param {RunInfo | null} run null where nobody knows which it was
 * @param {StudioInfo} now
 */
function leave(run, now) {
  tell(run ? t("“{name}” was deleted.", { name: run.name }) : t("The run of this address was deleted."));
  const isItsPrompt = get().prompt === run?.asked?.prompt;
  set({ run: null, ...(isItsPrompt ? { prompt: "", edits: [], layout: null } : {}) });
  const newest = [...now.runs].reverse().find((each) => each.trace !== null);
  if (newest) lookAt(newest.number);
}

/**
 * What news mean for what is shown: traces come, and the run that is looked at may be over
 * @param {StudioInfo | null} before
 * @param {StudioInfo} now
 */
export async function heed(before, now) {
  /** @param {StudioInfo | null} info */
  const traces = (info) => JSON.stringify(info?.runs.map(({ trace, name }) => [trace, name]) ?? []);
  if (traces(before) !== traces(now)) await refresh();
  const { run: number } = get();
  const [was, is] = [runOf(before, number), runOf(now, number)];
  if (number !== null && !is) leave(was, now);
  if (is && isOver(is) && is.trace !== null && was?.trace !== is.trace) lookAt(is.number);
  const shown = before === null && number === null ? runOfTrace(now, get().trace) : null;
  if (shown?.asked && !get().prompt) set({ ...draftOf(shown.asked), edits: [], layout: null });
}
