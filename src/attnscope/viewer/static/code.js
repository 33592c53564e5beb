// The few lines of Python that make what is on the screen.

import { cellsOf } from "attnscope/cells";
import { t } from "attnscope/lang";
import { learnLines } from "attnscope/learn/code";
import { boxOf, layersOf, recipeOf, weightsOf } from "attnscope/look";
import { sharesScale } from "attnscope/questions";
import { cutLines } from "attnscope/tools/code";
import { textOf, tokensOf } from "attnscope/words";

/** @import { WordId } from "attnscope/fields" */
/** @import { State } from "attnscope/state" */
/** @import { Fitted, LayerInfo, Place, TextInfo, TraceInfo } from "attnscope/types" */

/** @typedef {{ info: TraceInfo, state: Fitted }} Side a trace, and what is looked at in it */

/**
 * imports: module and name; lines: after the trace is loaded; map: what is drawn, in Python, null for none
 * @typedef {object} Made
 * @property {[module: string, name: string][]} imports
 * @property {string[]} lines
 * @property {string | null} map
 */

/**
 * The lines of one trace, or of two beside each other. The cursor is not meant: it has left the picture.
 * @param {Side[]} sides
 */
export function pythonOf(sides) {
  const all = sides.map(({ info, state }, at) => sideLines(info, { ...state, cursor: null }, at ? "_2" : ""));
  const top = topLine(sides, all);
  const drawn = sides.map((side, at) => drawLines(side, all[at], at ? "_2" : "", top !== null));
  const scale = top && isShared(sides) ? [PLACES("View"), PLACES("words_maximum")] : [];
  const draws = all.some(({ map }) => map) ? [/** @type {[string, string]} */ ([DRAWN, "draw_map"])] : [];
  const imports = importLines([...draws, ...scale, ...all.flatMap((one) => one.imports)]);
  const body = [...all.flatMap((one) => one.lines), ...(top ? [top] : []), ...drawn.flat()];
  return `${["import attnscope", ...imports, "", ...body].join("\n")}\n`;
}

const DRAWN = "attnscope.pictures.drawn_map";

/** @param {string} name @returns {[string, string]} */
const PLACES = (name) => ["attnscope.places", name];

/**
 * @param {[module: string, name: string][]} pairs
 * @returns {string[]}
 */
function importLines(pairs) {
  const modules = [...new Set(pairs.map(([module]) => module))].sort();
  return modules.map((module) => {
    const names = new Set(pairs.filter(([one]) => one === module).map(([, name]) => name));
    return `from ${module} import ${[...names].sort().join(", ")}`;
  });
}

/**
 * @param {TraceInfo} info
 * @param {Fitted} state
 * @param {string} suffix of the names of variables
 * @returns {Made}
 */
function sideLines(info, state, suffix) {
  const load = `trace${suffix} = attnscope.load_trace(${text(info.folder ?? "run.trace")})`;
  const made = MADE[state.mode](info, state, suffix);
  return { ...made, lines: [load, ...made.lines] };
}

/** @type {Record<State["mode"], (info: TraceInfo, state: Fitted, suffix: string) => Made>} */
const MADE = {
  places: placeLines,
  words: wordLines,
  edit: wordLines,
  segments: segmentLines,
  cutout: cutLines,
  learn: (info, state) => ({ imports: [PLACES("computation")], lines: learnLines(info, state), map: null }),
};

/** @param {unknown} value */
const text = (value) => JSON.stringify(value);

/** @param {string | number | boolean | null} value */
function python(value) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  return text(value);
}

/** @param {(string | number | false)[]} parts those that are said */
const said = (parts) => parts.filter(Boolean).join(", ");

/** @param {Fitted} state */
const viewText = ({ block, head, step, branch, image }) =>
  `View(${said([
    block !== null && `block=${block}`,
    head !== null && `head=${head}`,
    step !== null && `step=${step}`,
    branch !== "cond" && `branch=${text(branch)}`,
    image > 0 && `image=${image}`,
  ])})`;

/**
 * Whether all words share one scale
 * @param {Side[]} sides
 */
const isShared = (sides) =>
  sides[0].state.mode === "words" && sides.every(({ info, state }) => sharesScale(info, state));

/**
 * The brightest value, null where each map has its own
 * @param {Side[]} sides
 * @param {Made[]} made
 */
function topLine(sides, made) {
  const [{ state }] = sides;
  const maps = made.flatMap(({ map }) => map ?? []);
  if (state.mode === "segments" || !maps.length) return null;
  if (state.top !== null) return `top = ${state.top}`;
  const tops = isShared(sides)
    ? sides.map((side, at) => `words_maximum(trace${at ? "_2" : ""}, ${viewText(side.state)})`)
    : maps.map((map) => `${map}.max()`);
  if (tops.length === 1) return isShared(sides) ? `top = ${tops[0]}` : null;
  return `top = max(${tops.join(", ")})`;
}

/**
 * @param {Side} side
 * @param {Made} made
 * @param {string} suffix
 * @param {boolean} hasTop
 */
function drawLines({ info, state }, { map }, suffix, hasTop) {
  if (!map) return [];
  const { height, width } = info.images[state.image] ?? {};
  const ground = height && width ? `trace${suffix}.picture_of(${state.image})` : `(${info.size.join(", ")})`;
  const call = said([
    map,
    ground,
    hasTop && "top=top",
    state.colours !== "ember" && `colours=${text(state.colours)}`,
    state.scale !== "linear" && `scale=${text(state.scale)}`,
    `opacity=${state.opacity}`,
    !state.through && "through=False",
    state.contour && "contours=True",
    state.cells && "cells=True",
  ]);
  return [
    `drawn${suffix} = draw_map(${call})`,
    `drawn${suffix}.save("attention${suffix.replace("_", "-")}.png")`,
  ];
}

/**
 * @param {TraceInfo} info
 * @param {Fitted} state
 * @param {string} suffix
 * @returns {Made}
 */
function placeLines(info, state, suffix) {
  const box = boxOf(state);
  if (!box) return { imports: [], lines: [t("# choose a place first")], map: null };
  const layer = layersOf(info, "self").find((one) => one.block === state.block);
  const map = `where${suffix}`;
  if (layer && box.length === 2) return { imports: [], lines: [rowLine(layer, state, box, suffix)], map };
  const place = box.length === 2 ? `Box.of_place(${box.join(", ")})` : `Box(${box.join(", ")})`;
  return {
    imports: ["Box", "View", "box_map"].map(PLACES),
    lines: [`${map} = box_map(trace${suffix}, ${viewText(state)}, ${place})`],
    map,
  };
}

/**
 * A row of one block
 * @param {LayerInfo} layer
 * @param {Fitted} state
 * @param {Place} place
 * @param {string} suffix
 */
function rowLine(layer, state, place, suffix) {
  const mean = [state.step === null && "step", state.head === null && "head"].filter(Boolean);
  const chosen = said([
    `block=${state.block}`,
    'kind="self"',
    `query=(${cellsOf(place, layer.grid).slice(0, 2).join(", ")})`,
    `branch=${text(state.branch)}`,
    `image=${state.image}`,
    state.step !== null && `step=${state.step}`,
    state.head !== null && `head=${state.head}`,
    mean.length > 0 && `mean=${text(mean)}`,
  ]);
  const row = `trace${suffix}.probabilities(${chosen})`;
  return `where${suffix} = ${row}.reshape(${layer.grid.join(", ")}).numpy()`;
}

/**
 * @param {TraceInfo} info
 * @param {Fitted} state
 * @param {string} suffix
 * @returns {Made}
 */
function wordLines(info, state, suffix) {
  const read = textOf(info, state);
  const tokens = tokensOf(read, state.words);
  if (!tokens.length) return { imports: [], lines: [t("# choose a word first")], map: null };
  const single = state.words.length === 1 && isPlain(read, state.words[0]);
  const call = said([
    `trace${suffix}`,
    single ? plain(read, state.words[0]) : span(state.words, tokens),
    state.step !== null && `steps=${state.step}`,
    state.block !== null && `blocks=${state.block}`,
    state.head !== null && `heads=${state.head}`,
    state.branch !== "cond" && `branch=${text(state.branch)}`,
    state.image > 0 && `image=${state.image}`,
  ]);
  return {
    imports: single ? [] : [["attnscope.records", "TokenSpan"]],
    lines: [`heat${suffix} = attnscope.heat_map(${call})`],
    map: `heat${suffix}.array`,
  };
}

/**
 * Whether the word alone says which tokens are meant: it stands once in the prompt, also as a part of others
 * @param {TextInfo} read
 * @param {WordId} id
 */
function isPlain(read, id) {
  if (typeof id === "string") return true;
  return read.text.toLowerCase().split(read.words[id].text.toLowerCase()).length === 2;
}

/**
 * @param {TextInfo} read
 * @param {WordId} id
 */
const plain = (read, id) => text(typeof id === "string" ? `<${id}>` : read.words[id].text);

/**
 * @param {WordId[]} ids
 * @param {number[]} tokens
 */
const span = (ids, tokens) => `TokenSpan(${text(ids.join("+"))}, 0, 0, (${tokens.join(", ")},))`;

/**
 * @param {TraceInfo} info
 * @param {Fitted} state
 * @param {string} suffix
 * @returns {Made}
 */
function segmentLines(info, state, suffix) {
  const recipe = recipeOf(info, state);
  const names = [...new Set(recipe.word.map((number) => textOf(info, state).words[number].text))];
  const settings = said([
    `trace${suffix}`,
    state.step !== null && `steps=${state.step}`,
    `branch=${text(state.branch)}`,
    state.image > 0 && `image=${state.image}`,
    `thresholds=${recipe.threshold}`,
    `passes=${recipe.passes}`,
    `anchors=${recipe.anchors}`,
    `unite=${python(recipe.unite)}`,
    names.length > 0 && `labels=${text(names)}`,
    weightsOf(state).length > 0 && `weights={${weightPairs(info, state)}}`,
  ]);
  const found = `found${suffix}`;
  const picture = info.images[state.image]?.height ? `overlay(opacity=${state.opacity})` : "label_image()";
  const file = `segments${suffix.replace("_", "-")}.png`;
  return {
    imports: [],
    lines: [`${found} = attnscope.segment_trace(${settings})`, `${found}.${picture}.save("${file}")`],
    map: null,
  };
}

/**
 * Grid to weight, as Python takes them; in links a grid is its height alone
 * @param {TraceInfo} info
 * @param {Fitted} state
 */
function weightPairs(info, state) {
  const grids = new Map(layersOf(info, "self").map((layer) => [layer.grid[0], layer.grid]));
  return weightsOf(state)
    .map(([height, weight]) => `(${(grids.get(Number(height)) ?? [height, height]).join(", ")}): ${weight}`)
    .join(", ");
}
