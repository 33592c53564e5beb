// What the page can show of a trace: each mode with its panel.

import { Learn } from "attnscope/learn/page";
import { PlacesPanel, WordsPanel } from "attnscope/panels";
import { SegmentsPanel } from "attnscope/segments";
import { EditPanel } from "attnscope/studio/edit";

/** @import { State } from "attnscope/state" */

/**
 * label: in English; Panel: what stands beside the picture; maps: whether blocks and heads are drawn, and
 * colours chosen; live: whether it needs the server, so that an exported page lacks it; studio: whether it
 * makes pictures; Page: what stands in place of picture, blocks and panel
 * @typedef {object} Mode
 * @property {State["mode"]} name
 * @property {string} label
 * @property {(props: any) => unknown} Panel
 * @property {(props: any) => unknown} [Page]
 * @property {boolean} maps
 * @property {boolean} [live]
 * @property {boolean} [studio]
 */

/** @type {Mode[]} in the order of their buttons and keys */
export const MODES = [
  { name: "places", label: "Places", Panel: PlacesPanel, maps: true },
  { name: "words", label: "Words", Panel: WordsPanel, maps: true },
  { name: "segments", label: "Segments", Panel: SegmentsPanel, maps: false },
  { name: "learn", label: "Learn", Panel: () => null, Page: Learn, maps: false, live: true },
  { name: "edit", label: "Edit", Panel: EditPanel, maps: true, live: true, studio: true },
];

/**
 * @param {State["mode"]} name
 * @returns {Mode}
 */
export const modeOf = (name) => MODES.find((mode) => mode.name === name) ?? MODES[0];
