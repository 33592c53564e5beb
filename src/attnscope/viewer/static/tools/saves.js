// What can be saved, in the order of the menu. Others add theirs to the list.

import { later, t } from "attnscope/lang";
import { boxOf, viewOf } from "attnscope/look";
import { save, sideBySide } from "attnscope/saving";
import * as source from "attnscope/source";
import { make } from "attnscope/tools/making";
import { textOf, tokensOf } from "attnscope/words";

/** @import { Shown } from "attnscope/scale" */

/**
 * label, about: in English; lacks: why it can't be had now, in a sentence, null where it can; href: of a file
 * that the server has, or run: what else makes it; live: whether it needs the server, which an exported page
 * lacks; once: whether it is of all that is shown, not of one trace
 * @typedef {object} Save
 * @property {string} id
 * @property {string} label
 * @property {string} about
 * @property {(shown: Shown) => string | null} [lacks]
 * @property {(shown: Shown) => string | null} [href]
 * @property {(shown: Shown, label: string) => void} [run] label: in the page's language
 * @property {boolean} [live]
 * @property {boolean} [once]
 */

/** @param {Shown} shown */
const chosenTokens = ({ info, state }) => tokensOf(textOf(info, state), state.words);

/** @param {Shown} shown */
const wordless = (shown) => (chosenTokens(shown).length ? null : t("Choose a word first."));

/** @param {Shown} shown */
const still = (shown) =>
  shown.info.steps.length < 2 ? t("This trace has one step only.") : wordless(shown);

/**
 * @param {string} kind
 * @returns {(shown: Shown, label: string) => void}
 */
const made = (kind) => (shown, label) => {
  const token = ["gif", "mp4"].includes(kind) ? chosenTokens(shown) : [];
  make(label, shown.info.number, { kind, ...viewOf(shown.state), token });
};

/**
 * Where the map's numbers are, null for none: segments have files of their own
 * @param {Shown} shown
 */
function mapFile({ info, state, look }) {
  const box = boxOf(state);
  const tokens = tokensOf(textOf(info, state), state.words);
  if (!look.shown.value) return null;
  if (state.mode === "places" && box) return source.placeFile(info.number, viewOf(state), box, "npz");
  if (state.mode !== "words" || !tokens.length) return null;
  return source.wordsFile(info.number, viewOf(state), tokens, "npz");
}

function savePicture() {
  /** @type {NodeListOf<HTMLCanvasElement>} */
  const canvases = document.querySelectorAll(".stage canvas");
  sideBySide([...canvases]).toBlob((blob) => blob && save(blob, "attention.png"));
}

/** @type {Save[]} */
export const SAVES = [
  {
    id: "save-png",
    label: later("What is shown (PNG)"),
    about: later("the picture with its map, as it is on the screen"),
    run: savePicture,
    once: true,
  },
  {
    id: "save-npz",
    label: later("Numbers of the map (NPZ)"),
    about: later("for numpy.load"),
    live: true,
    lacks: (shown) => (mapFile(shown) ? null : t("No map is shown.")),
    href: mapFile,
  },
  {
    id: "save-heatmap",
    label: later("Heat map with legend (PNG)"),
    about: later("the chosen words over the picture, with the numbers of the colours"),
    live: true,
    lacks: wordless,
    href: (shown) =>
      source.at(shown.info.number, "heatmap", { ...viewOf(shown.state), token: chosenTokens(shown) }),
  },
  {
    id: "save-gif",
    label: later("Steps as GIF"),
    about: later("the chosen words, a frame for each step"),
    live: true,
    lacks: still,
    run: made("gif"),
  },
  {
    id: "save-mp4",
    label: later("Steps as MP4"),
    about: later("the same as a video, a tenth of the size"),
    live: true,
    lacks: still,
    run: made("mp4"),
  },
  {
    id: "save-page",
    label: later("This page as one file (HTML)"),
    about: later("opens from disk, for mail or a paper's supplement"),
    live: true,
    run: made("page"),
  },
  {
    id: "save-report",
    label: later("Report (HTML)"),
    about: later("words, segments and statistics on one page"),
    live: true,
    run: made("report"),
  },
  {
    id: "save-trace",
    label: later("The trace (ZIP)"),
    about: later("all that was recorded, for attnscope.load_trace"),
    live: true,
    href: ({ info }) => (info.folder === null ? null : source.at(info.number, "zip", {})),
    run: made("trace"),
  },
];
