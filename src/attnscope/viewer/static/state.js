// What the page shows: one flat object. All of it but the cursor stands in the address bar, so a link reopens the view.

const FIRST = {
  trace: 0, // number of the trace
  other: null, // a second trace beside it
  mode: "places", // places, words or segments
  block: null, // null: the mean over all, as for head and step
  head: null,
  step: null,
  branch: "cond",
  image: 0,
  pins: [], // [y, x] or [top, left, bottom, right], shares of the picture
  pin: null, // number of the pin that is looked at
  words: [], // places of words in the prompt, or "start", "end", "padding"
  names: null, // words that name segments; null: all but articles, prepositions and the like
  colours: "ember",
  scale: "linear",
  top: null, // the value of the brightest colour; null: the map's own maximum
  opacity: 0.8,
  contour: false,
  cells: false, // show cells as squares instead of interpolating between them
  tau: null, // null: the model's own threshold
  passes: 3,
  anchors: 16,
  weights: "",
  unite: false,
  theme: "auto",
};

let base = FIRST; // what an address leaves out

const SHORT = {
  // names in the address bar
  trace: "t",
  other: "with",
  mode: "m",
  block: "b",
  head: "h",
  step: "s",
  branch: "br",
  image: "i",
  pins: "pins",
  pin: "pin",
  words: "w",
  names: "n",
  colours: "c",
  scale: "sc",
  top: "top",
  opacity: "o",
  contour: "ct",
  cells: "ce",
  tau: "tau",
  passes: "pa",
  anchors: "an",
  weights: "we",
  unite: "un",
  theme: "th",
};

export function toHash(state) {
  const pairs = [];
  for (const [name, short] of Object.entries(SHORT)) {
    const value = state[name];
    if (JSON.stringify(value) !== JSON.stringify(base[name]))
      pairs.push(`${short}=${encodeURIComponent(write(value))}`);
  }
  return pairs.join("&");
}

function fromHash(hash) {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const state = {};
  for (const [name, short] of Object.entries(SHORT)) {
    if (given.has(short)) state[name] = read(name, given.get(short));
  }
  return state;
}

const CHOICES = { mode: ["places", "words", "segments"], scale: ["linear", "log"],
  colours: ["ember", "viridis", "magma", "cividis"], theme: ["auto", "dark", "light"] };
const RANGES = {
  // low, high, whole: what a link may say; all else is as if it were not there
  trace: [0, 1e4, true],
  other: [0, 1e4, true],
  block: [0, 1e4, true],
  head: [0, 1e4, true],
  step: [0, 1e6, true],
  image: [0, 1e4, true],
  pin: [0, 100, true],
  top: [1e-12, 1, false],
  opacity: [0, 1, false],
  tau: [1e-6, 1e3, false],
  passes: [1, 10, true],
  anchors: [1, 32, true],
};

function write(value) {
  if (value === null) return "all";
  if (Array.isArray(value))
    return value.map((part) => (Array.isArray(part) ? part.map(rounded).join(",") : part)).join(";");
  return typeof value === "boolean" ? (value ? "1" : "0") : String(value);
}

function rounded(share) {
  return Math.round(share * 1e8) / 1e8;
}

function read(name, text) {
  if (name === "pins") {
    const pins = text.split(";").map((part) => part.split(",").map(Number));
    return pins.filter((pin) => [2, 4].includes(pin.length) && pin.every((share) => share >= 0 && share <= 1));
  }
  if (name === "names" && text === "all") return null;
  if (name === "words" || name === "names")
    return text ? text.split(";").map((word) => (/^\d+$/.test(word) ? Number(word) : word)) : [];
  if (typeof FIRST[name] === "boolean") return text === "1";
  if (name in CHOICES) return CHOICES[name].includes(text) ? text : FIRST[name];
  if (typeof FIRST[name] === "string") return text;
  if (text === "all" && FIRST[name] === null) return null;
  const number = Number(text);
  const [low, high, whole] = RANGES[name];
  return number >= low && number <= high && (!whole || Number.isInteger(number)) ? number : FIRST[name];
}

// A store: set() merges a change, tells who listens, and writes the address bar. The cursor is not part of the link.

let current = { ...FIRST, cursor: null };
const listeners = new Set();
let writing = 0;

export function get() {
  return current;
}

export function set(change) {
  current = { ...current, ...(typeof change === "function" ? change(current) : change) };
  for (const listener of listeners) listener();
  clearTimeout(writing);
  writing = setTimeout(() => history.replaceState(null, "", `#${toHash(current)}`), 120);
}

export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

// The state of an address. defaults: what these traces open with, where the address says nothing.
export function open(hash, defaults = {}) {
  base = { ...base, ...defaults };
  current = { ...base, cursor: null, ...fromHash(hash) };
}
