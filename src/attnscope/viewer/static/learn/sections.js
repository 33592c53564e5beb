// The keys of a layer by where they come from: places of a picture, tokens of a text, others by number.

import { t } from "attnscope/lang";

/** @import { TextInfo, TokenInfo } from "attnscope/types" */
/** @import { SectionInfo } from "attnscope/learn/types" */

/**
 * @param {SectionInfo[]} sections
 * @param {number} key
 */
export const sectionOf = (sections, key) =>
  sections.find(({ first, keys }) => key >= first && key < first + keys) ?? sections[0];

/**
 * The picture's own places, if they are among the keys: of a video those of the image's own frame
 * @param {SectionInfo[]} sections
 * @param {number} image
 */
export function ownPlaces(sections, image) {
  const own = sections.filter(({ name }) => name === "own");
  return own.length > 1 ? own[image % own.length] : own.find(({ grid }) => grid);
}

/** Whether some keys are places, which are drawn as maps. @param {{ sections: SectionInfo[] }} info */
export const hasPlaces = ({ sections }) => sections.some(({ grid }) => grid);

/**
 * The token that a key is, undefined where that is unknown
 * @param {SectionInfo} section
 * @param {number} key
 * @param {TextInfo} read
 * @returns {TokenInfo | undefined}
 */
export const tokenOf = ({ name, first }, key, read) =>
  name === "context" ? read.tokens[key - first] : undefined;

/**
 * What people call a key
 * @param {SectionInfo[]} sections
 * @param {number} key
 * @param {TextInfo} read
 */
export function keyName(sections, key, read) {
  const section = sectionOf(sections, key);
  const at = key - section.first;
  if (section.grid) return placeName(section, at);
  const token = tokenOf(section, key, read);
  if (!token) return t("key {number} of {part}", { number: at, part: section.name });
  if (token.role === "text") return `“${token.text}”`;
  if (token.role === "padding") return t("padding {number}", { number: at });
  return t(token.role);
}

/**
 * @param {SectionInfo} section
 * @param {number} at
 */
function placeName({ grid, frame, name }, at) {
  const columns = grid?.[1] ?? 1;
  const place = t("row {row}, column {column}", { row: Math.floor(at / columns), column: at % columns });
  if (frame !== null) return t("frame {frame}, {place}", { frame, place });
  return name === "own" ? place : t("{place} of the other picture", { place });
}

/**
 * Where an arrow key leads from a key: to the neighbouring place or token, and from the edge of a section to
 * the next one. Null for no such arrow
 * @param {SectionInfo[]} sections
 * @param {number} key
 * @param {string} arrow
 */
export function nextKey(sections, key, arrow) {
  const section = sectionOf(sections, key);
  const columns = section.grid?.[1] ?? section.keys;
  /** @type {Record<string, number>} */
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
  const last = sections[sections.length - 1];
  if (arrow === "Home") return 0;
  if (arrow === "End") return last.first + last.keys - 1;
  if (!(arrow in steps)) return null;
  const step = section.grid || Math.abs(steps[arrow]) === 1 ? steps[arrow] : Math.sign(steps[arrow]);
  return inside(sections, section, key, step);
}

/**
 * @param {SectionInfo[]} sections
 * @param {SectionInfo} section
 * @param {number} key
 * @param {number} step
 */
function inside(sections, section, key, step) {
  const end = section.first + section.keys;
  const next = key + step;
  if (next >= section.first && next < end) return next;
  const at = sections.indexOf(section);
  if (next >= end && at + 1 < sections.length) return sections[at + 1].first;
  if (next < section.first && at > 0) return section.first - 1;
  return key;
}

/**
 * How much of the row each section gets, in order
 * @param {SectionInfo[]} sections
 * @param {Float32Array} shares
 */
export const sums = (sections, shares) =>
  sections.map(({ first, keys }) =>
    shares.subarray(first, first + keys).reduce((sum, share) => sum + share, 0),
  );

const PADDINGS = 0.6; // all of them together are as wide as this many of the other tokens, by their number

/**
 * Where each token of a section begins and the last one ends, in shares of the width: padding is narrow
 * @param {SectionInfo} section
 * @param {TextInfo} read
 */
export function edgesOf(section, read) {
  const numbers = Array.from({ length: section.keys }, (_, at) => section.first + at);
  const isPadding = numbers.map((key) => tokenOf(section, key, read)?.role === "padding");
  const paddings = isPadding.filter(Boolean).length;
  const others = section.keys - paddings;
  const narrow = others ? Math.min((PADDINGS * others) / Math.max(paddings, 1), 1) : 1;
  const edges = [0];
  for (const padding of isPadding) edges.push(edges[edges.length - 1] + (padding ? narrow : 1));
  const whole = edges[edges.length - 1];
  return Float64Array.from(edges, (edge) => edge / whole);
}
