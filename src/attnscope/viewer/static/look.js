// What the state asks for: the place, the words or the segments that are looked at in a trace.

const FILLERS = new Set(
  "a an the and or of in on at to with under over by for from is are was front picture photo drawing there this that".split(
    " ",
  ),
);

const COLOURS = new Set("red orange yellow green blue purple pink white black grey gray brown".split(" "));

export const viewOf = (state) => ({
  block: state.block,
  head: state.head,
  step: state.step,
  branch: state.branch,
  image: state.image,
});

// The place or part under the cursor, else the chosen pin
export function boxOf(state) {
  if (state.cursor) return state.cursor;
  return state.pins[state.pin ?? 0] ?? state.pins.at(-1) ?? null;
}

// Words as they can be chosen: those of the prompt by number, then start, end and padding where there are any
// The negative branch reads another prompt, whose tokens a trace does not hold: it has none
export function choosable(image, branch) {
  if (branch === "uncond") return [];
  const words = image.words.map((word, number) => ({ id: number, text: word.text, tokens: word.tokens, role: "text" }));
  for (const role of ["start", "end", "padding"]) {
    const tokens = image.tokens.filter((token) => token.role === role).map((token) => token.index);
    if (tokens.length) words.push({ id: role, text: role, tokens, role });
  }
  return words;
}

export function tokensOf(image, state, ids) {
  return choosable(image, state.branch)
    .filter((word) => ids.includes(word.id))
    .flatMap((word) => word.tokens);
}

export function contentWords(image) {
  const numbers = image.words.map((_, number) => number);
  return numbers.filter((number) => !FILLERS.has(image.words[number].text.toLowerCase()));
}

// What to show first: a word that is more than a colour
export function firstWords(image) {
  const words = contentWords(image);
  return [words.find((number) => !COLOURS.has(image.words[number].text.toLowerCase())) ?? words[0]].filter(
    (one) => one !== undefined,
  );
}

// Which words are looked at: the one under the cursor, else those chosen
export const wordsOf = (state) =>
  state.touched === null || state.touched === undefined ? state.words : [state.touched];

export const layersOf = (info, kind) => info.layers.filter((layer) => layer.kind === kind);
export const kindOf = (state) => (state.mode === "words" ? "cross" : "self");

// The grid that places are on: of the chosen block, else the finest
export function gridOf(info, state) {
  const layers = layersOf(info, kindOf(state));
  const chosen = layers.find((layer) => layer.block === state.block);
  const finest = layers.reduce(
    (best, layer) => (layer.grid[0] * layer.grid[1] > best[0] * best[1] ? layer.grid : best),
    [1, 1],
  );
  return chosen?.grid ?? finest;
}

export const tauOf = (info, state) => state.tau ?? info.threshold;

export function sourceOf(state) {
  return { step: state.step, branch: state.branch, image: state.image, weights: state.weights };
}

// Words that name segments: those chosen, else all that may stand for a thing
export function namesOf(info, state) {
  if (state.branch === "uncond") return [];
  const { words } = info.images[state.image];
  const things = (number) => !COLOURS.has(words[number].text.toLowerCase());
  return state.names ?? contentWords(info.images[state.image]).filter(things);
}

export function recipeOf(info, state) {
  const names = namesOf(info, state);
  return {
    threshold: tauOf(info, state),
    passes: state.passes,
    anchors: state.anchors,
    unite: state.unite,
    word: [...names].sort((one, other) => one - other),
  };
}

// The state as this trace can answer it. What it lacks falls back to the mean over all, or to what there is; `lacks` says so.
export function fitted(info, state) {
  const layers = layersOf(info, kindOf(state));
  const image = info.images[state.image] ? state.image : 0;
  const own = { ...state, image, branch: info.branches.includes(state.branch) ? state.branch : info.branches.at(-1) };
  if (!layers.some((layer) => layer.block === state.block)) own.block = null;
  if (!info.steps.some((step) => step.index === state.step)) own.step = null;
  if (!(state.head < headsOf(info, own))) own.head = null;
  const isWord = (id) => typeof id !== "number" || id in info.images[image].words;
  own.words = state.words.filter(isWord);
  own.names = state.names?.filter(isWord) ?? null;
  const heights = new Set(layersOf(info, "self").map((layer) => String(layer.grid[0])));
  const weighed = state.weights
    .split(",")
    .filter(Boolean)
    .map((pair) => pair.split(":")[0]);
  if (weighed.length !== heights.size || !weighed.every((height) => heights.has(height))) own.weights = "";
  const lacks = ["block", "step", "head", "branch"].filter((name) => state[name] !== null && own[name] !== state[name]);
  own.lacks = lacks.length
    ? `This trace has no ${lacks.map((name) => `${name} ${state[name]}`).join(", no ")}: shown is ${shownInstead(own, lacks)}.`
    : null;
  return own;
}

function shownInstead(own, lacks) {
  return lacks.map((name) => (own[name] === null ? `the mean over all ${name}s` : `${name} ${own[name]}`)).join(", ");
}

// How many heads can be chosen: those of the chosen block, else those that every block has
export function headsOf(info, state) {
  const layers = layersOf(info, kindOf(state));
  const chosen = layers.filter((layer) => layer.block === state.block);
  return layers.length ? Math.min(...(chosen.length ? chosen : layers).map((layer) => layer.heads)) : 0;
}

// A head that some block lacks is not asked for in all of them
export function everywhere(info, state) {
  const least = Math.min(...info.layers.map((layer) => layer.heads));
  return { ...viewOf(state), block: null, head: state.head < least ? state.head : null };
}

const NEARLY = 1e-5; // of a cell: shares in links are rounded

// [first row, first column, last row, last column] of the cells that a place or a part of the picture touches
export function cellsOf(box, [rows, columns]) {
  const [top, left, bottom, right] = box.length === 4 ? box : [...box, ...box];
  const first = (share, count) => Math.min(Math.floor(share * count + NEARLY), count - 1);
  const last = (share, low, count) =>
    Math.max(Math.min(Math.ceil(share * count - NEARLY) - 1, count - 1), first(low, count));
  return [first(top, rows), first(left, columns), last(bottom, top, rows), last(right, left, columns)];
}

export function placeText(box, grid) {
  const [top, left, bottom, right] = cellsOf(box, grid);
  return box.length === 2 ? `row ${top}, column ${left}` : `rows ${top}–${bottom}, columns ${left}–${right}`;
}
