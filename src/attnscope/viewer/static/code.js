// The few lines of Python that make what is on the screen.

import { cellsOf } from "attnscope/cells";
import { boxOf, layersOf, recipeOf, weightsOf } from "attnscope/look";
import { pixelsOf } from "attnscope/tools/points";
import { contentWords, textOf, tokensOf } from "attnscope/words";

/** @import { WordId } from "attnscope/fields" */
/** @import { State } from "attnscope/state" */
/** @import { Box, TextInfo, LayerInfo, Place, TraceInfo } from "attnscope/types" */

/**
 * @param {TraceInfo} info
 * @param {State} state
 */
export function pythonOf(info, state) {
  const lines = ["import attnscope", "", `trace = attnscope.load_trace(${text(info.folder ?? "run.trace")})`];
  const [segments, cutout] = [segmentLines, cutLines];
  const made = { places: placeLines, words: wordLines, edit: wordLines, segments, cutout }[state.mode];
  return `${[...lines, ...made(info, state)].join("\n")}\n`;
}

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

/**
 * @param {TraceInfo} info
 * @param {State} state
 */
function placeLines(info, state) {
  const box = boxOf({ ...state, cursor: null }) ?? [0.5, 0.5];
  const layer = layersOf(info, "self").find((one) => one.block === state.block);
  return layer && box.length === 2 ? rowLines(layer, state, box) : boxLines(state, box);
}

/** @type {("block" | "head" | "step" | "branch" | "image")[]} */
const VIEW = ["block", "head", "step", "branch", "image"];

/**
 * Over all blocks, or of a region
 * @param {State} state
 * @param {Box} box
 */
function boxLines(state, box) {
  const place = box.length === 2 ? `Box.of_place(${box.join(", ")})` : `Box(${box.join(", ")})`;
  const view = VIEW.map((name) => `${name}=${python(state[name])}`).join(", ");
  return [
    "from attnscope.places import Box, View, box_map",
    "",
    `where = box_map(trace, View(${view}), ${place})`,
    "print(where.shape, where.max())",
  ];
}

/**
 * A row of one block
 * @param {LayerInfo} layer
 * @param {State} state
 * @param {Place} place
 */
function rowLines(layer, state, place) {
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
  return [
    `where = trace.probabilities(${chosen}).reshape(${layer.grid.join(", ")})`,
    "print(where.shape, where.max())",
  ];
}

/**
 * @param {TraceInfo} info
 * @param {State} state
 */
function wordLines(info, state) {
  const read = textOf(info, state);
  const chosen = state.words.length ? state.words : contentWords(read).slice(0, 1);
  const tokens = tokensOf(read, chosen);
  if (!tokens.length) return ["# choose a word first"];
  const single = chosen.length === 1 && isPlain(read, chosen[0]);
  const word = single ? plain(read, chosen[0]) : span(chosen, tokens);
  const call = said([
    "trace",
    word,
    state.step !== null && `steps=${state.step}`,
    state.block !== null && `blocks=${state.block}`,
    state.head !== null && `heads=${state.head}`,
    state.branch !== "cond" && `branch=${text(state.branch)}`,
    state.image > 0 && `image=${state.image}`,
  ]);
  const imports = single ? [] : ["from attnscope.records import TokenSpan", ""];
  return [...imports, `heat = attnscope.heat_map(${call})`, "print(heat.array.shape, heat.array.max())"];
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
 * @param {State} state
 */
function segmentLines(info, state) {
  const recipe = recipeOf(info, state);
  const names = [...new Set(recipe.word.map((number) => textOf(info, state).words[number].text))];
  const settings = said([
    "trace",
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
  return [`found = attnscope.segment_trace(${settings})`, "print(found)"];
}

/**
 * Grid to weight, as Python takes them; in links a grid is its height alone
 * @param {TraceInfo} info
 * @param {State} state
 */
function weightPairs(info, state) {
  const grids = new Map(layersOf(info, "self").map((layer) => [layer.grid[0], layer.grid]));
  return weightsOf(state)
    .map(([height, weight]) => `(${(grids.get(Number(height)) ?? [height, height]).join(", ")}): ${weight}`)
    .join(", ");
}

/**
 * @param {TraceInfo} info
 * @param {State} state
 */
function cutLines(info, state) {
  /** @param {"plus" | "minus"} sign */
  const points = (sign) => pixelsOf(state.points, sign, info).map((point) => `(${point.join(", ")})`);
  if (!points("plus").length) return ["# click on a thing first"];
  const call = said([
    "trace",
    `plus=[${points("plus").join(", ")}]`,
    points("minus").length > 0 && `minus=[${points("minus").join(", ")}]`,
    state.step !== null && `steps=${state.step}`,
    state.branch !== "cond" && `branch=${text(state.branch)}`,
    state.image > 0 && `image=${state.image}`,
    state.cutBlock !== null && `layers=[${state.cutBlock}]`,
  ]);
  return [`clicked = attnscope.click(${call})`, "print(clicked)", 'clicked.cutout().save("cutout.png")'];
}
