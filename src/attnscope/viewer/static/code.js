// The few lines of Python that make what is on the screen.

import { boxOf, cellsOf, contentWords, layersOf, recipeOf, tokensOf } from "attnscope/look";

export function pythonOf(info, state) {
  const lines = ["import attnscope", "", `trace = attnscope.load_trace(${text(info.folder ?? "run.trace")})`];
  const made = { places: placeLines, words: wordLines, segments: segmentLines }[state.mode];
  return [...lines, ...made(info, state)].join("\n") + "\n";
}

const text = (value) => JSON.stringify(value);
const python = (value) => (value === null ? "None" : value === true ? "True" : value === false ? "False" : text(value));

function placeLines(info, state) {
  const box = boxOf({ ...state, cursor: null }) ?? [0.5, 0.5];
  const layer = layersOf(info, "self").find((one) => one.block === state.block);
  if (!layer || box.length === 4) {
    const place = box.length === 2 ? `Box.of_place(${box.join(", ")})` : `Box(${box.join(", ")})`;
    const view = ["block", "head", "step", "branch", "image"]
      .map((name) => `${name}=${python(state[name])}`)
      .join(", ");
    return [
      "from attnscope.places import Box, View, box_map",
      "",
      `where = box_map(trace, View(${view}), ${place})`,
      "print(where.shape, where.max())",
    ];
  }
  const [rows, columns] = layer.grid;
  const cell = cellsOf(box, layer.grid).slice(0, 2);
  const mean = [state.step === null && "step", state.head === null && "head"].filter(Boolean);
  const chosen = [
    `block=${state.block}`,
    'kind="self"',
    `query=(${cell.join(", ")})`,
    `branch=${text(state.branch)}`,
    `image=${state.image}`,
    state.step !== null && `step=${state.step}`,
    state.head !== null && `head=${state.head}`,
    mean.length && `mean=${JSON.stringify(mean)}`,
  ].filter(Boolean);
  return [
    `where = trace.probabilities(${chosen.join(", ")}).reshape(${rows}, ${columns})`,
    "print(where.shape, where.max())",
  ];
}

function wordLines(info, state) {
  const image = info.images[state.image];
  const chosen = state.words.length ? state.words : contentWords(image).slice(0, 1);
  const tokens = tokensOf(image, state, chosen);
  if (!tokens.length) return ["# choose a word first"];
  const single = chosen.length === 1 && isPlain(image, chosen[0]);
  const settings = [
    state.step !== null && `steps=${state.step}`,
    state.block !== null && `blocks=${state.block}`,
    state.head !== null && `heads=${state.head}`,
    state.branch !== "cond" && `branch=${text(state.branch)}`,
    state.image && `image=${state.image}`,
  ].filter(Boolean);
  const word = single
    ? text(typeof chosen[0] === "string" ? `<${chosen[0]}>` : image.words[chosen[0]].text)
    : `TokenSpan(${text(chosen.join("+"))}, 0, 0, (${tokens.join(", ")},))`;
  const call = `heat = attnscope.heat_map(${["trace", word, ...settings].join(", ")})`;
  const imports = single ? [] : ["from attnscope.records import TokenSpan", ""];
  return [...imports, call, "print(heat.array.shape, heat.array.max())"];
}

// Whether the word alone says which tokens are meant: it stands once in the prompt, also as a part of others
function isPlain(image, id) {
  return typeof id === "string" || image.prompt.toLowerCase().split(image.words[id].text.toLowerCase()).length === 2;
}

function segmentLines(info, state) {
  const recipe = recipeOf(info, state);
  const names = [...new Set(recipe.word.map((number) => info.images[state.image].words[number].text))];
  const grids = new Map(layersOf(info, "self").map((layer) => [layer.grid[0], layer.grid]));
  const weights = state.weights
    .split(",")
    .filter(Boolean)
    .map((pair) => pair.split(":"));
  const settings = [
    state.step !== null && `steps=${state.step}`,
    `branch=${text(state.branch)}`,
    state.image && `image=${state.image}`,
    `thresholds=${recipe.threshold}`,
    `passes=${recipe.passes}`,
    `anchors=${recipe.anchors}`,
    `unite=${python(recipe.unite)}`,
    names.length && `labels=${JSON.stringify(names)}`,
    weights.length &&
      `weights={${weights.map(([height, weight]) => `(${(grids.get(Number(height)) ?? [height, height]).join(", ")}): ${weight}`).join(", ")}}`,
  ].filter(Boolean);
  return [
    `found = attnscope.segment_trace(trace, ${settings.join(", ")})`,
    "print(found)",
  ];
}
