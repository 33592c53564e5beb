// The studio's JSON: studio/schemas.py and studio/asked.py have models of the same names and fields.

export type Words = string | number[];
export type BoxShares = [top: number, left: number, bottom: number, right: number];

export interface Mask {
  height: number;
  width: number;
  bits: string;
}

export interface Reweight {
  edit: "reweight";
  words: Words;
  factor: number;
}

export interface Region {
  edit: "region";
  words: Words;
  box?: BoxShares | null;
  mask?: Mask | null;
}

export interface Ablate {
  edit: "ablate";
  block: number;
  kind: "self" | "cross";
  head?: number | null;
}

export interface Freeze {
  edit: "freeze";
  run: number;
  until: number;
}

export type Edit = Reweight | Region | Ablate | Freeze;

export interface Layout {
  run: number;
  cross_steps: number;
  self_steps: number;
}

export interface RunAsked {
  prompt: string;
  negative_prompt: string;
  seed: number;
  steps: number | null;
  guidance_scale: number | null;
  height: number | null;
  width: number | null;
  edits: Edit[];
  layout: Layout | null;
  before: number | null;
}

export interface ModelInfo {
  name: string;
  state: "off" | "loading" | "ready" | "failed";
  error: string;
  device: string;
  steps: number | null;
  guidance_scale: number | null;
  height: number | null;
  width: number | null;
  takes_negative: boolean;
  no_photos: string;
}

export interface RunInfo {
  number: number;
  kind: "picture" | "photo" | "trace";
  name: string;
  state: "waiting" | "loading" | "running" | "done" | "stopped" | "failed";
  asked: RunAsked | null;
  text: string;
  place: number | null;
  done: number;
  total: number;
  note: string;
  error: string;
  seen: number | null;
  words: string[];
  seconds: number | null;
  created: number;
  trace: number | null;
  has_picture: boolean;
  maker: string;
}

export interface StudioInfo {
  count: number;
  model: ModelInfo;
  runs: RunInfo[];
  folder: string;
  guests: boolean;
  files: boolean;
}
