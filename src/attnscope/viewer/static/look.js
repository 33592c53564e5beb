// What the state asks for: the place, the words or the segments that are looked at in a trace.

const FILLERS = new Set(
  "a an the and or of in on at to with under over by for from is are was front picture photo drawing there this that".split(" "),
);

const COLOURS = new Set("red orange yellow green blue purple pink white black grey gray brown".split(" "));

export const viewOf = (state) => ({
  block: state.block, head: state.head, step: state.step, branch: state.branch, image: state.image,
});

// The place or part under the cursor, else the chosen pin
export function boxOf(state) {
  if (state.cursor) return state.cursor;
  return state.pins[state.pin ?? 0] ?? null;
}

// Words as they can be chosen: those of the prompt by number, then start, end and padding where there are any
export function choosable(image) {
  const words = image.words.map((word, number) => ({ id: number, text: word.text, tokens: word.tokens, role: "text" }));
  for (const role of ["start", "end", "padding"]) {
    const tokens = image.tokens.filter((token) => token.role === role).map((token) => token.index);
    if (tokens.length) words.push({ id: role, text: role, tokens, role });
  }
  return words;
}

export function tokensOf(image, ids) {
  return choosable(image).filter((word) => ids.includes(word.id)).flatMap((word) => word.tokens);
}

export function contentWords(image) {
  const numbers = image.words.map((_, number) => number);
  return numbers.filter((number) => !FILLERS.has(image.words[number].text.toLowerCase()));
}

// What to show first: a word that is more than a colour
export function firstWords(image) {
  const words = contentWords(image);
  return [words.find((number) => !COLOURS.has(image.words[number].text.toLowerCase())) ?? words[0]].filter((one) => one !== undefined);
}

// Which words are looked at: the one under the cursor, else those chosen
export const wordsOf = (state) => (state.touched === null || state.touched === undefined ? state.words : [state.touched]);

export const layersOf = (info, kind) => info.layers.filter((layer) => layer.kind === kind);
export const kindOf = (state) => (state.mode === "words" ? "cross" : "self");

// The grid that places are on: of the chosen block, else the finest
export function gridOf(info, state) {
  const layers = layersOf(info, kindOf(state));
  const chosen = layers.find((layer) => layer.block === state.block);
  const finest = layers.reduce((best, layer) => (layer.grid[0] * layer.grid[1] > best[0] * best[1] ? layer.grid : best), [1, 1]);
  return chosen?.grid ?? finest;
}

export const tauOf = (info, state) => state.tau ?? info.threshold;

export function sourceOf(state) {
  return { step: state.step, branch: state.branch, image: state.image, weights: state.weights };
}

// Words that name segments
export const namesOf = (info, state) => state.names ?? contentWords(info.images[state.image]);

export function recipeOf(info, state) {
  const names = namesOf(info, state);
  return {
    threshold: tauOf(info, state), passes: state.passes, anchors: state.anchors,
    unite: state.unite, word: [...names].sort((one, other) => one - other),
  };
}

// Changes that keep the state true for a trace: what it lacks falls back to all, or to what there is
export function fitted(info, state) {
  const has = (list, value) => value === null || list.includes(value);
  const blocks = layersOf(info, kindOf(state)).map((layer) => layer.block);
  const heads = Math.max(...info.layers.map((layer) => layer.heads));
  const image = state.image < info.images.length ? state.image : 0;
  return {
    block: has(blocks, state.block) ? state.block : null,
    head: state.head === null || state.head < heads ? state.head : null,
    step: has(info.steps.map((step) => step.index), state.step) ? state.step : null,
    branch: info.branches.includes(state.branch) ? state.branch : info.branches[info.branches.length - 1],
    image,
  };
}

// "cell 12, 5" of a place on a grid; for a part, its corners
export function placeText(box, [rows, columns]) {
  const row = (share) => Math.min(Math.floor(share * rows), rows - 1);
  const column = (share) => Math.min(Math.floor(share * columns), columns - 1);
  if (box.length === 2) return `row ${row(box[0])}, column ${column(box[1])}`;
  const last = (share, low, count) => Math.max(Math.ceil(share * count - 1e-9) - 1, low);
  const [top, left] = [row(box[0]), column(box[1])];
  return `rows ${top}–${last(box[2], top, rows)}, columns ${left}–${last(box[3], left, columns)}`;
}
