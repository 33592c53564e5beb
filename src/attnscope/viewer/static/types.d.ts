// What the modules hand each other. For the type check alone: the page does not load this file.

import type { WordId } from "attnscope/fields";
import type { State } from "attnscope/state";

// The server's JSON: schemas.py has models of the same names and fields

export interface TokenInfo {
  index: number;
  text: string;
  role: "start" | "text" | "end" | "padding";
}

export interface WordInfo {
  text: string;
  tokens: number[];
}

export interface TextInfo {
  text: string;
  tokens: TokenInfo[];
  words: WordInfo[];
}

export interface ImageInfo {
  texts: Record<string, TextInfo>;
  height: number | null;
  width: number | null;
}

export interface StepInfo {
  index: number;
  timestep: number;
}

export interface LayerInfo {
  block: number;
  kind: Kind;
  path: string;
  stage: string;
  heads: number;
  grid: Grid;
  head_dim: number;
  keys: number;
  softmax: number;
}

export interface TraceInfo {
  number: number;
  name: string;
  folder: string | null;
  model: string | null;
  seed: number | null;
  images: ImageInfo[];
  branches: string[];
  steps: StepInfo[];
  layers: LayerInfo[];
  not_drawn: string;
  size: [height: number, width: number];
  threshold: number;
  threshold_source: string;
  step: number | null;
}

export interface TracesInfo {
  version: string;
  traces: TraceInfo[];
  studio: boolean;
}

export interface Shares {
  shares: number[];
}

export interface Tops {
  numbers: (number | null)[];
  maxima: number[];
}

export interface AggregateInfo {
  state: "absent" | "running" | "ready" | "failed";
  done: number;
  total: number;
  error: string;
}

export interface SegmentInfo {
  id: number;
  label: string | null;
  area: number;
  share: number;
  box: [left: number, top: number, width: number, height: number];
  centroid: [x: number, y: number];
  scores: number[];
  rle: Record<string, unknown>;
}

export interface SegmentsInfo {
  height: number;
  width: number;
  thresholds: number[];
  colours: Rgb[];
  segments: SegmentInfo[];
}

export interface CutoutInfo {
  height: number;
  width: number;
  area: number;
  share: number;
  score: number;
  layers: string[];
}

export interface WordVerdict {
  word: number | null;
  text: string;
  says: "drawn" | "not drawn" | "unclear" | "not read" | "shows nothing";
  verdict: string;
  share: number | null;
  peak: number | null;
  leads: number | null;
  where: string;
}

export interface ExplainedInfo {
  words: WordVerdict[];
  sentences: string[][];
  run: string[];
  limits: string[];
}

export interface Problem {
  error: string;
}

// What is looked at

export type Kind = "self" | "cross";
export type Grid = [rows: number, columns: number];
/** In shares of the picture, from its upper left corner. */
export type Place = [y: number, x: number];
export type Region = [top: number, left: number, bottom: number, right: number];
export type Box = Place | Region;

export interface View {
  block: number | null;
  head: number | null;
  step: number | null;
  branch: string;
  image: number;
}

/** Which attention is aggregated for segments. */
export interface Source {
  step: number | null;
  branch: string;
  image: number;
  weights: string;
}

/** How segments are made of it, and the words that may name them. */
export interface Recipe {
  threshold: number;
  passes: number;
  anchors: number;
  unite: boolean;
  word: number[];
}

export interface ChoosableWord {
  id: WordId;
  text: string;
  tokens: number[];
  role: TokenInfo["role"];
}

/** The state as one trace can show it. lacks, missing: what it can't show, in a sentence. */
export type Fitted = State & { lacks: string | null; missing?: string | null };

// Answers

/** The head of a map in the server's binary answer; number: of its block or head. */
export interface MapHead {
  number: number | null;
  height: number;
  width: number;
  mean: number;
  minimum: number;
  maximum: number;
  peak: Grid;
  entropy_bits: number;
}

export type FieldMap = MapHead & { values: Float32Array };

/** Segments with the label of every pixel, row by row. */
export type Found = SegmentsInfo & { labels: Uint16Array; labels_height: number; labels_width: number };

/** What was clicked on; pixels: 1 on it, 0 beside it, row by row. */
export type Cut = CutoutInfo & { pixels: Uint8Array };

export type Rgb = [red: number, green: number, blue: number];

export type Told = (done: number, total: number) => void;

/** What useAnswer gives. */
export interface Answer<Value> {
  value: Value | null;
  error: Error | null;
  busy: boolean;
  progress: { done: number; total: number } | null;
  stop: () => void;
  again: () => void;
}

/** All that is asked of one trace. */
export interface Look {
  shown: Answer<FieldMap>;
  blocks: Record<Kind, Answer<FieldMap[]>>;
  heads: Answer<FieldMap[]>;
  shares: Answer<ArrayLike<number>>;
  found: Answer<Found>;
  /** The common scales of all words: of the view, of each block, of each head. */
  tops: Record<"view" | "block" | "head", Answer<Tops>>;
  cut: Answer<Cut>;
}
