// What the modules of lessons hand each other. For the type check alone: the page does not load this file.

import type { Grid, Kind, LayerInfo, Place, View } from "attnscope/types";

// The server's JSON: learning_forms.py has models of the same names and fields

export interface LessonLayer {
  block: number;
  kind: string;
  path: string;
  stage: string;
  grid: Grid;
  heads: number;
  head_dim: number;
  batch: number;
  branches: number;
  query: Shape;
  key: Shape;
  value: Shape;
  probability: Shape;
}

export interface LessonInfo {
  guidance_scale: number | null;
  layers: LessonLayer[];
}

export interface SectionInfo {
  name: string;
  first: number;
  keys: number;
  grid: Grid | null;
  frame: number | null;
}

export interface ComputationInfo {
  block: number;
  kind: Kind;
  head: number;
  step: number;
  branch: string;
  image: number;
  row: number;
  column: number;
  query: number;
  keys: number;
  dim: number;
  scale: number;
  largest: number;
  total: number;
  top: number[];
  sections: SectionInfo[];
  edited: boolean;
  masked: boolean;
  has_value: boolean;
}

export interface KeysInfo {
  block: number;
  kind: Kind;
  head: number;
  step: number;
  branch: string;
  image: number;
  has_value: boolean;
}

// What is looked at

export type Shape = [leading: number, places: number, dim: number];

/** Everything that a lesson is about; view has one block, head and step. */
export interface Chosen {
  layer: LayerInfo;
  view: OneView;
  place: Place;
}

export type OneView = View & { block: number; head: number; step: number };

// Answers

/** Numbers of the server's binary answer, by name. */
export interface Numbers<Head> {
  head: Head;
  arrays: Record<string, Float32Array>;
}

/**
 * One place's computation. One number a key; key, value: keys x dim, row by row. added: by a mask; used: the row
 * that met V. The rest is null where the trace has no V, or K is too large for a page, which `lacks` says.
 */
export interface Computed {
  info: ComputationInfo;
  query: Float32Array;
  scores: Float32Array;
  added: Float32Array | null;
  scaled: Float32Array;
  exponentials: Float32Array;
  probability: Float32Array;
  used: Float32Array;
  output: Float32Array | null;
  adds: Float32Array | null;
  key: Float32Array | null;
  value: Float32Array | null;
  lacks: string;
}

/** The key that is looked at in all drawings. */
export interface Focus {
  key: number;
  keys: number;
  name: (key: number) => string;
  hover: (key: number | null) => void;
  choose: (key: number) => void;
  next: (arrow: string) => number | null;
}

export interface Inks {
  ink: string;
  soft: string;
  line: string;
  mark: string;
  panel: string;
  plus: string;
  minus: string;
  zero: string;
}

export interface Rectangle {
  x: number;
  y: number;
  width: number;
  height: number;
}
