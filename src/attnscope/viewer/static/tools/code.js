// The lines of Python that cut out what was clicked on.

import { t } from "attnscope/lang";
import { pixelsOf } from "attnscope/tools/points";

/** @import { Made } from "attnscope/code" */
/** @import { Fitted, TraceInfo } from "attnscope/types" */

/**
 * @param {TraceInfo} info
 * @param {Fitted} state
 * @param {string} suffix
 * @returns {Made}
 */
export function cutLines(info, state, suffix) {
  /** @param {"plus" | "minus"} sign */
  const points = (sign) => pixelsOf(state.points, sign, info).map((point) => `(${point.join(", ")})`);
  if (!points("plus").length) return { imports: [], lines: [t("# click on a thing first")], map: null };
  const call = [
    `trace${suffix}`,
    `plus=[${points("plus").join(", ")}]`,
    points("minus").length > 0 && `minus=[${points("minus").join(", ")}]`,
    state.step !== null && `steps=${state.step}`,
    state.branch !== "cond" && `branch=${JSON.stringify(state.branch)}`,
    state.image > 0 && `image=${state.image}`,
    state.cutBlock !== null && `layers=[${state.cutBlock}]`,
  ].filter(Boolean);
  const clicked = `clicked${suffix}`;
  const save = `${clicked}.cutout().save("cutout${suffix.replace("_", "-")}.png")`;
  return {
    imports: [],
    lines: [`${clicked} = attnscope.click(${call.join(", ")})`, `print(${clicked})`, save],
    map: null,
  };
}
