// Which value has the brightest colour: of the map over the picture, and of small maps.

import { commonTop } from "attnscope/beside";
import { later, t } from "attnscope/lang";
import { kindOf } from "attnscope/look";
import { sharesScale } from "attnscope/questions";

/** @import { FieldMap, Fitted, Kind, Look, Tops, TraceInfo } from "attnscope/types" */

/** @typedef {{ info: TraceInfo, state: Fitted, look: Look }} Shown a trace, and what is looked at in it */

/**
 * top: null for the map's own maximum, undefined while it is not known yet; said: what the range is, for t()
 * @typedef {{ top: number | null | undefined, said: string }} Scaled
 */

/**
 * The scale of the maps over the pictures, one for all that stand beside each other
 * @param {Shown[]} shown
 * @returns {Scaled}
 */
export function scaleOf(shown) {
  const [{ state }] = shown;
  if (state.top !== null) return { top: state.top, said: later("fixed range") };
  if (state.mode === "words" && shown.every((one) => sharesScale(one.info, one.state))) {
    const tops = shown.map((one) => topIn(one.look.tops.view.value, one.state.block));
    return { top: greatest(tops), said: later("one range for all words") };
  }
  if (shown.length === 1) return { top: null, said: later("this map's own range") };
  return { top: commonTop(...shown.map(({ look }) => look)), said: later("one range for both") };
}

/**
 * @param {Tops | null} tops
 * @param {number | null} number of a block or head
 */
const topIn = (tops, number) => tops?.maxima[tops.numbers.indexOf(number)];

/**
 * undefined where one is not known yet
 * @param {(number | undefined)[]} tops
 */
const greatest = (tops) =>
  tops.includes(undefined) ? undefined : Math.max(.../** @type {number[]} */ (tops));

/**
 * A look whose map waits for its scale: it would be drawn in colours that change a moment later
 * @param {Look} look
 * @param {Scaled} scale
 * @returns {Look}
 */
export function waiting(look, { top }) {
  const { shown, tops } = look;
  if (top !== undefined) return { ...look, shown: { ...shown, busy: shown.busy || tops.view.busy } };
  const busy = shown.busy || tops.view.error === null;
  return { ...look, shown: { ...shown, value: null, busy } };
}

/**
 * The scale of a small map: null for its own, undefined while it is not known yet
 * @param {Shown} shown
 * @param {Kind} kind
 * @param {"block" | "head"} each
 * @param {FieldMap} map
 */
export function smallTop({ info, state, look }, kind, each, map) {
  if (state.top !== null) return kind === kindOf(state) ? state.top : null;
  if (kind === "self" || !sharesScale(info, state)) return null;
  return topIn(look.tops[each].value, map.number);
}

/** @param {Scaled} scale */
export const rangeText = ({ said }) => t(said);
