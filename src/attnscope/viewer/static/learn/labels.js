// Tokens below their columns: beside each other where they fit, else aslant.

import { tokenOf } from "attnscope/learn/sections";
import { FONT } from "attnscope/learn/draw";
import { t } from "attnscope/lang";
import { contextOf } from "attnscope/paint";

/** @import { TextInfo, TokenInfo } from "attnscope/types" */
/** @import { Inks, SectionInfo } from "attnscope/learn/types" */

const SIZE = 12; // px
const SLANT = Math.PI / 3.4;
const LONGEST = 90; // px of a word; longer ones are narrowed

/** @type {CanvasRenderingContext2D | null} */
let ruler = null;

/** @param {string} text */
function widthOf(text) {
  ruler ??= contextOf(new OffscreenCanvas(1, 1));
  ruler.font = `${SIZE}px ${FONT}`;
  return Math.min(ruler.measureText(text).width, LONGEST);
}

/** @param {TokenInfo} token */
const labelOf = (token) => (token.role === "text" ? token.text : t(token.role));

/**
 * The labels with their numbers in the section: padding has one for all of it
 * @param {SectionInfo} section
 * @param {TextInfo} read
 */
function labelled(section, read) {
  /** @type {{ at: number, until: number, text: string, quiet: boolean }[]} */
  const found = [];
  for (let at = 0; at < section.keys; at++) {
    const token = tokenOf(section, section.first + at, read);
    const last = found[found.length - 1];
    if (token?.role === "padding" && last?.quiet && last.until === at) last.until = at + 1;
    else if (token) found.push({ at, until: at + 1, text: labelOf(token), quiet: token.role === "padding" });
  }
  return found;
}

/**
 * Whether every label fits over its column, so that none has to stand aslant
 * @param {ReturnType<typeof labelled>} labels
 * @param {Float64Array} edges
 * @param {number} width
 */
const fit = (labels, edges, width) =>
  labels.every(({ at, until, text }) => widthOf(text) + 4 <= (edges[until] - edges[at]) * width);

/**
 * @param {SectionInfo} section
 * @param {TextInfo} read
 * @param {Float64Array} edges
 * @param {number} width
 */
export function labelHeight(section, read, edges, width) {
  const labels = labelled(section, read);
  if (!labels.length) return 4;
  if (fit(labels, edges, width)) return SIZE + 8;
  const longest = Math.max(...labels.map(({ text }) => widthOf(text)));
  return Math.ceil(longest * Math.sin(SLANT)) + SIZE + 6;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {object} place
 * @param {SectionInfo} place.section
 * @param {TextInfo} place.read
 * @param {Float64Array} place.edges
 * @param {number} place.width
 * @param {number} place.y
 * @param {number | null} place.lit number of the token that is looked at
 * @param {Inks} place.inks
 */
export function drawLabels(context, { section, read, edges, width, y, lit, inks }) {
  const labels = labelled(section, read);
  const upright = fit(labels, edges, width);
  context.textBaseline = "alphabetic";
  for (const { at, until, text, quiet } of labels) {
    const isLit = lit !== null && lit >= at && lit < until;
    const middle = ((edges[at] + edges[until]) / 2) * width;
    context.font = `${isLit ? 700 : 400} ${SIZE}px ${FONT}`;
    context.fillStyle = isLit || !quiet ? inks.ink : inks.soft;
    context.save();
    context.translate(middle - (upright ? 0 : 5), y + SIZE + (upright ? 2 : 0));
    if (!upright) context.rotate(SLANT);
    context.textAlign = upright ? "center" : "left";
    context.fillText(text, 0, 0, LONGEST);
    context.restore();
  }
}
