// What the page can show of a trace: each mode with its panel.

import { PlacesPanel, WordsPanel } from "attnscope/panels";
import { SegmentsPanel } from "attnscope/segments";
import * as source from "attnscope/source";
import { EditPanel } from "attnscope/studio/edit";
import { CutoutPanel } from "attnscope/tools/cutout";

/** @import { State } from "attnscope/state" */

/**
 * label: in English; Panel: what stands beside the picture; maps: whether blocks and heads are drawn, and
 * colours chosen; live: whether it needs the server, so that an exported page lacks it; studio: whether it
 * makes pictures
 * @typedef {object} Mode
 * @property {State["mode"]} name
 * @property {string} label
 * @property {(props: any) => unknown} Panel
 * @property {boolean} maps
 * @property {boolean} [live]
 * @property {boolean} [studio]
 */

/** @type {Mode[]} in the order of their buttons and keys; those of the studio last, so that keys stay */
export const MODES = [
  { name: "places", label: "Places", Panel: PlacesPanel, maps: true },
  { name: "words", label: "Words", Panel: WordsPanel, maps: true },
  { name: "segments", label: "Segments", Panel: SegmentsPanel, maps: false },
  { name: "cutout", label: "Cut out", Panel: CutoutPanel, maps: false, live: true },
  { name: "edit", label: "Edit", Panel: EditPanel, maps: true, live: true, studio: true },
];

/**
 * Those that this page has: an exported one has no server
 * @param {boolean} hasStudio
 */
export const shownModes = (hasStudio) =>
  MODES.filter((mode) => (source.LIVE || !mode.live) && (hasStudio || !mode.studio));

/**
 * @param {State["mode"]} name
 * @returns {Mode}
 */
export const modeOf = (name) => shownModes(true).find((mode) => mode.name === name) ?? MODES[0];
