// Small maps of what is looked at, in every block and head. A U-Net is drawn as the U it is, a transformer as
// a column.

import { isPart, kindOf, layersOf } from "attnscope/look";
import { percent } from "attnscope/maps";
import { contextOf, mapImage, put } from "attnscope/paint";
import { html, useLayoutEffect, useRef } from "attnscope/preact";
import { set } from "attnscope/state";

/** @import { FieldMap, Fitted, Grid, Kind, LayerInfo, Look, TraceInfo } from "attnscope/types" */

const SIDE = 64; // pixels of a small map

/**
 * @param {object} props
 * @param {FieldMap} [props.map]
 * @param {Grid} props.grid
 * @param {Fitted} props.state
 * @param {boolean} props.pressed
 * @param {string} props.name
 * @param {string} props.tag
 * @param {string} [props.details]
 * @param {() => void} props.choose
 */
function Thumb({ map, grid, state, pressed, name, tag, details, choose }) {
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const [height, width] = grid.map((side) => Math.round((SIDE * side) / Math.max(...grid)));
  useLayoutEffect(() => {
    if (!canvas.current) return;
    const context = contextOf(canvas.current);
    const style = { ...state, top: null, opacity: 1, contour: false };
    if (map) put(context, mapImage(map, height, width, style));
    else context.clearRect(0, 0, width, height);
  }, [map, state.colours, state.scale, state.cells, height, width]);
  return html`<button
    class="thumb"
    aria-pressed=${pressed}
    aria-label=${name}
    title=${`${name}${map ? numbersOf(map) : ""}${details ?? ""}`}
    onClick=${choose}
  >
    <canvas ref=${canvas} width=${width} height=${height}></canvas><span class="tag">${tag}</span>
  </button>`;
}

/** @param {FieldMap} map */
const numbersOf = (map) => `\nbrightest ${percent(map.maximum)}, entropy ${map.entropy_bits.toFixed(2)} bits`;

const WHAT = { self: "self-attention", cross: "cross-attention" };

/** @param {LayerInfo} layer */
const whatOf = (layer) => `${WHAT[layer.kind]}${isPart(layer) ? ", part of a joint attention" : ""}`;

/**
 * Choosing a block's self-attention looks at places, its cross-attention at words.
 * @param {Fitted} state
 * @param {Look["blocks"]} blocks
 * @param {LayerInfo} layer
 */
function blockThumb(state, blocks, layer) {
  const mode = layer.kind === "self" ? "places" : "words";
  return html`<${Thumb}
    key=${`${layer.block} ${layer.kind}`}
    grid=${layer.grid}
    state=${state}
    map=${blocks[layer.kind].value?.find((map) => map.number === layer.block)}
    pressed=${state.block === layer.block && kindOf(state) === layer.kind}
    tag=${layer.block}
    name=${`block ${layer.block}, ${whatOf(layer)}, ${layer.stage}, ${layer.grid.join(" by ")}`}
    details=${shapes(layer)}
    choose=${() => set({ block: layer.block, mode, cursor: null })}
  />`;
}

/**
 * The layer's tensors for one row of the batch, heads first
 * @param {LayerInfo} layer
 */
function shapes({ grid, heads, head_dim, kind, keys: tokens, softmax, path }) {
  const places = grid[0] * grid[1];
  const keys = kind === "self" ? places : tokens;
  const queries = `Q (${heads}, ${places}, ${head_dim})`;
  const cut = softmax > keys ? `, cut from a softmax over ${softmax} keys` : "";
  const probability = `P (${heads}, ${places}, ${keys})${cut}`;
  return `\n${queries}, K and V (${heads}, ${keys}, ${head_dim})\n${probability}\n${path}`;
}

const UNET_STAGES = ["down", "mid", "up"];

/** @param {TraceInfo} info */
export const isUNet = (info) => info.layers.every((layer) => UNET_STAGES.includes(layer.stage));

/**
 * In each block self-attention above cross-attention
 * @param {{ info: TraceInfo, state: Fitted, blocks: Look["blocks"] }} props
 */
export function Blocks({ info, state, blocks }) {
  /** @param {number} number */
  const block = (number) => {
    const layers = info.layers.filter((layer) => layer.block === number);
    return html`<div class="block" key=${number}>
      ${layers.map((layer) => blockThumb(state, blocks, layer))}
    </div>`;
  };
  return html`<nav class="blocks" aria-label="Blocks of the model">
    <div class="means">${meanButton(info, state, "self")}${meanButton(info, state, "cross")}</div>
    ${isUNet(info) ? theU(info, block) : theColumn(info, block)}
    <p class="quiet">above self-attention of the place, below cross-attention of the words</p>
    ${info.layers.some(isPart) && html`<p class="quiet">${PARTS}</p>`}
    ${info.not_drawn && html`<p class="quiet">${`not drawn: ${info.not_drawn}`}</p>`}
  </nav>`;
}

const PARTS =
  "Both are parts of one softmax, so what a place gives to the picture and what it gives to the text are " +
  "less than 100 % each.";

/** @typedef {(number: number) => unknown} DrawBlock */

/**
 * Down on the left, up on the right, fine grids above coarse ones
 * @param {TraceInfo} info
 * @param {DrawBlock} block
 */
const theU = (info, block) =>
  gridsOf(info).map(
    (grid) =>
      html`<div class="scale" key=${grid.join()}>
        <div class="arm">${blocksOf(info, "down", grid).map(block)}</div>
        <div class="middle"><small>${grid.join("×")}</small>${blocksOf(info, "mid", grid).map(block)}</div>
        <div class="arm">${blocksOf(info, "up", grid).map(block)}</div>
      </div>`,
  );

/**
 * One list of blocks below the other, in the order in which they run
 * @param {TraceInfo} info
 * @param {DrawBlock} block
 */
const theColumn = (info, block) =>
  gridsOf(info).flatMap((grid) =>
    stagesOf(info, grid).map(
      (stage) =>
        html`<div class="column" key=${`${stage} ${grid.join()}`}>
          <h3>${stage} · ${grid.join("×")}</h3>
          <div class="arm">${blocksOf(info, stage, grid).map(block)}</div>
        </div>`,
    ),
  );

/**
 * @param {TraceInfo} info
 * @param {Fitted} state
 * @param {Kind} kind
 */
function meanButton(info, state, kind) {
  if (!layersOf(info, kind).length) return null;
  const mode = kind === "self" ? "places" : "words";
  return html`<button
    aria-pressed=${state.block === null && kindOf(state) === kind}
    onClick=${() => set({ block: null, mode, cursor: null })}
  >
    ${`${kind}, mean`}
  </button>`;
}

/**
 * The grids that layers have, fine ones first
 * @param {TraceInfo} info
 */
export function gridsOf(info) {
  const grids = new Map(info.layers.map((layer) => [layer.grid.join(), layer.grid]));
  return [...grids.values()].sort((one, other) => other[0] * other[1] - one[0] * one[1]);
}

/**
 * The lists of blocks that work on a grid, in order
 * @param {TraceInfo} info
 * @param {Grid} grid
 */
export const stagesOf = (info, grid) => [
  ...new Set(info.layers.filter((layer) => layer.grid.join() === grid.join()).map((layer) => layer.stage)),
];

/**
 * @param {TraceInfo} info
 * @param {string} stage
 * @param {Grid} grid
 */
export function blocksOf(info, stage, grid) {
  const layers = info.layers.filter((layer) => layer.stage === stage && layer.grid.join() === grid.join());
  return [...new Set(layers.map((layer) => layer.block))];
}

/**
 * The same as one row, where there is no room for the U
 * @param {{ info: TraceInfo, state: Fitted, blocks: Look["blocks"] }} props
 */
export function BlockStrip({ info, state, blocks }) {
  return html`<div class="strip" role="group" aria-label="The same in every block">
    <button class="thumb all" aria-pressed=${state.block === null} onClick=${() => set({ block: null })}>
      <b>all</b><span class="tag">mean</span>
    </button>
    ${layersOf(info, kindOf(state)).map((layer) => blockThumb(state, blocks, layer))}
  </div>`;
}

/** @param {{ info: TraceInfo, state: Fitted, heads: FieldMap[] | null }} props */
export function HeadStrip({ info, state, heads }) {
  const layer = layersOf(info, kindOf(state)).find((one) => one.block === state.block);
  if (!layer) return html`<p class="strip quiet">Choose a block to see its heads.</p>`;
  return html`<div class="strip heads" role="group" aria-label=${`Heads of block ${layer.block}`}>
    <button class="thumb all" aria-pressed=${state.head === null} onClick=${() => set({ head: null })}>
      <b>all</b><span class="tag">mean</span>
    </button>
    ${Array.from(
      { length: layer.heads },
      (_, head) =>
        html`<${Thumb}
          key=${head}
          grid=${layer.grid}
          state=${state}
          map=${heads?.[head]}
          pressed=${state.head === head}
          tag=${`h ${head}`}
          name=${`head ${head}`}
          choose=${() => set({ head })}
        />`,
    )}
  </div>`;
}
