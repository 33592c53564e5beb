// What the page can show of a trace: each mode with its panel.

import { later } from "attnscope/lang";
import { Learn } from "attnscope/learn/page";
import { PlacesPanel, WordsPanel } from "attnscope/panels";
import { SegmentsPanel } from "attnscope/segments";
import * as source from "attnscope/source";
import { EditPanel } from "attnscope/studio/edit";
import { CutoutPanel } from "attnscope/tools/cutout";

/** @import { State } from "attnscope/state" */

/**
 * label: in English; Panel: what stands beside the picture; maps: whether blocks and heads are drawn, and
 * colours chosen; both: whether a second trace has a panel of its own; live: whether it needs the server, so
 * that an exported page lacks it; studio: whether it makes pictures; Page: what stands in place of picture,
 * blocks and panel
 * @typedef {object} Mode
 * @property {State["mode"]} name
 * @property {string} label
 * @property {(props: any) => unknown} Panel
 * @property {(props: any) => unknown} [Page]
 * @property {boolean} maps
 * @property {boolean} [both]
 * @property {boolean} [live]
 * @property {boolean} [studio]
 */

/** @type {Mode[]} in the order of their buttons and keys; those of the studio last, so that keys stay */
export const MODES = [
  { name: "places", label: later("Places"), Panel: PlacesPanel, maps: true, both: true },
  { name: "words", label: later("Words"), Panel: WordsPanel, maps: true, both: true },
  { name: "segments", label: later("Segments"), Panel: SegmentsPanel, maps: false, both: true },
  { name: "cutout", label: later("Cut out"), Panel: CutoutPanel, maps: false, both: true, live: true },
  { name: "learn", label: later("Learn"), Panel: () => null, Page: Learn, maps: false, live: true },
  { name: "edit", label: later("Edit"), Panel: EditPanel, maps: true, live: true, studio: true },
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
