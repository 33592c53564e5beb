// The lines of Python that print the numbers of a lesson.

import { cellOf, chosenOf } from "attnscope/learn/choice";
import { isPart } from "attnscope/look";

/** @import { State } from "attnscope/state" */
/** @import { TraceInfo } from "attnscope/types" */

/**
 * @param {TraceInfo} info
 * @param {State} state
 */
export function learnLines(info, state) {
  const chosen = chosenOf(info, state);
  if (!chosen) return ["# this trace has neither self- nor cross-attention"];
  const { layer, view } = chosen;
  const [row, column] = cellOf(chosen);
  const which = [
    `block=${layer.block}`,
    `kind=${JSON.stringify(layer.kind)}`,
    `step=${view.step}`,
    `head=${view.head}`,
    `query=(${row}, ${column})`,
    `branch=${JSON.stringify(view.branch)}`,
    `image=${view.image}`,
  ].join(", ");
  return [
    `which = dict(${which})`,
    "row = computation(trace, **which).row",
    `key = ${state.key ?? "int(row.used.argmax())"}`,
    'print("q", row.query)',
    'print("q.k", row.scores[key], "scaled", row.scaled[key], "exp", row.exponentials[key], "of", row.total)',
    'print("P", row.probability[key], "and all", row.probability.sum())',
    ...(isPart(layer) ? [] : ['print("again", trace.probabilities(**which, before_edits=True)[key])']),
    'print("o", "unknown: no V" if row.value is None else row.output)',
  ];
}
