// Small maps of what is looked at, in every block and head. A U-Net is drawn as the U it is, a transformer as
// a column.

import { later, rich, t } from "attnscope/lang";
import { isPart, kindOf, layersOf, stageName } from "attnscope/look";
import { percent } from "attnscope/maps";
import { contextOf, mapImage, put } from "attnscope/paint";
import { html, useLayoutEffect, useRef } from "attnscope/preact";
import { smallTop } from "attnscope/scale";
import { set } from "attnscope/state";
import { Toolbar } from "attnscope/toolbar";

/** @import { Shown } from "attnscope/scale" */
/** @import { FieldMap, Fitted, Grid, Kind, LayerInfo, TraceInfo } from "attnscope/types" */

const SIDE = 64; // pixels of a small map

/**
 * top: the brightest value, null for the map's own; undefined: not known yet
 * @param {object} props
 * @param {FieldMap} [props.map]
 * @param {number | null} [props.top]
 * @param {Grid} props.grid
 * @param {Fitted} props.state
 * @param {boolean} props.pressed
 * @param {string} props.name
 * @param {string} props.tag
 * @param {string} [props.details]
 * @param {() => void} props.choose
 */
function Thumb({ map, top, grid, state, pressed, name, tag, details, choose }) {
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const [height, width] = grid.map((side) => Math.round((SIDE * side) / Math.max(...grid)));
  useLayoutEffect(() => {
    if (!canvas.current) return;
    const context = contextOf(canvas.current);
    if (map && top !== undefined) {
      const style = { ...state, top, opacity: 1, through: false, contour: false };
      put(context, mapImage(map, height, width, style));
    } else context.clearRect(0, 0, width, height);
  }, [map, top, state.colours, state.scale, state.cells, height, width]);
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
function numbersOf(map) {
  const values = { maximum: percent(map.maximum), bits: map.entropy_bits.toFixed(2) };
  return `\n${t("brightest {maximum}, entropy {bits} bits", values)}`;
}

const WHAT = { self: later("self-attention"), cross: later("cross-attention") };
const PART = {
  self: later("self-attention, part of a joint attention"),
  cross: later("cross-attention, part of a joint attention"),
};

/** @param {LayerInfo} layer */
const whatOf = (layer) => t((isPart(layer) ? PART : WHAT)[layer.kind]);

/** @param {LayerInfo} layer */
function nameOf(layer) {
  const { block, stage, grid } = layer;
  const values = { block, what: whatOf(layer), stage: stageName(stage), height: grid[0], width: grid[1] };
  return t("block {block}, {what}, {stage}, {height} by {width}", values);
}

/**
 * Editing goes on, whatever attention of a block is chosen
 * @param {Fitted} state
 * @param {LayerInfo["kind"]} kind
 */
function modeFor({ mode }, kind) {
  if (mode === "edit") return mode;
  return kind === "self" ? "places" : "words";
}

/**
 * Choosing a block's self-attention looks at places, its cross-attention at words.
 * @param {Shown} shown
 * @param {LayerInfo} layer
 */
function blockThumb(shown, layer) {
  const { state, look } = shown;
  const map = look.blocks[layer.kind].value?.find((one) => one.number === layer.block);
  const mode = modeFor(state, layer.kind);
  return html`<${Thumb}
    key=${`${layer.block} ${layer.kind}`}
    grid=${layer.grid}
    state=${state}
    map=${map}
    top=${map && smallTop(shown, layer.kind, "block", map)}
    pressed=${state.block === layer.block && kindOf(state) === layer.kind}
    tag=${layer.block}
    name=${nameOf(layer)}
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
  const [query, key] = [`(${heads}, ${places}, ${head_dim})`, `(${heads}, ${keys}, ${head_dim})`];
  const whole = `P (${heads}, ${places}, ${keys})`;
  const probability =
    softmax > keys ? t("{whole}, cut from a softmax over {softmax} keys", { whole, softmax }) : whole;
  return `\n${t("Q {query}, K and V {key}", { query, key })}\n${probability}\n${path}`;
}

const UNET_STAGES = ["down", "mid", "up"];

/** @param {TraceInfo} info */
export const isUNet = (info) => info.layers.every((layer) => UNET_STAGES.includes(layer.stage));

/**
 * In each block self-attention above cross-attention
 * @param {Shown} shown
 */
export function Blocks(shown) {
  const { info, state } = shown;
  /** @param {number} number */
  const block = (number) => {
    const layers = info.layers.filter((layer) => layer.block === number);
    return html`<div class="block" key=${number}>${layers.map((layer) => blockThumb(shown, layer))}</div>`;
  };
  return html`<nav class="blocks" aria-label=${t("Blocks of the model")}>
    <${Toolbar} label=${t("Blocks of the model")}>
      <div class="means">${meanButton(info, state, "self")}${meanButton(info, state, "cross")}</div>
      ${isUNet(info) ? theU(info, block) : theColumn(info, block)}
    <//>
    <p class="quiet">${t("above self-attention of the place, below cross-attention of the words")}</p>
    ${info.layers.some(isPart) && html`<p class="quiet">${t(PARTS)}</p>`}
    ${
      info.not_drawn &&
      html`<p class="quiet">${rich("not drawn: {layers}", { layers: english(info.not_drawn) })}</p>`
    }
  </nav>`;
}

const PARTS = later(
  "Both are parts of one softmax, so what a place gives to the picture and what it gives to the text are " +
    "less than 100 % each.",
);

/** What the server says. @param {string} text */
const english = (text) => html`<span lang="en">${text}</span>`;

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
          <h3>${stageName(stage)} · ${grid.join("×")}</h3>
          <div class="arm">${blocksOf(info, stage, grid).map(block)}</div>
        </div>`,
    ),
  );

/** @type {Record<Kind, string>} */
const MEANS = { self: later("self, mean"), cross: later("cross, mean") };

/**
 * @param {TraceInfo} info
 * @param {Fitted} state
 * @param {Kind} kind
 */
function meanButton(info, state, kind) {
  if (!layersOf(info, kind).length) return null;
  const mode = modeFor(state, kind);
  return html`<button
    aria-pressed=${state.block === null && kindOf(state) === kind}
    onClick=${() => set({ block: null, mode, cursor: null })}
  >
    ${t(MEANS[kind])}
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
 * @param {Shown} shown
 */
export function BlockStrip(shown) {
  const { info, state } = shown;
  return html`<${Toolbar} class="strip" label=${t("The same in every block")}>
    <button class="thumb all" aria-pressed=${state.block === null} onClick=${() => set({ block: null })}>
      <b>${t("all")}</b><span class="tag">${t("mean")}</span>
    </button>
    ${layersOf(info, kindOf(state)).map((layer) => blockThumb(shown, layer))}
  <//>`;
}

/** @param {Shown} shown */
export function HeadStrip(shown) {
  const { info, state, look } = shown;
  const heads = look.heads.value;
  const layer = layersOf(info, kindOf(state)).find((one) => one.block === state.block);
  if (!layer) return html`<p class="strip quiet">${t("Choose a block to see its heads.")}</p>`;
  return html`<${Toolbar} class="strip heads" label=${t("Heads of block {block}", { block: layer.block })}>
    <button class="thumb all" aria-pressed=${state.head === null} onClick=${() => set({ head: null })}>
      <b>${t("all")}</b><span class="tag">${t("mean")}</span>
    </button>
    ${Array.from(
      { length: layer.heads },
      (_, head) =>
        html`<${Thumb}
          key=${head}
          grid=${layer.grid}
          state=${state}
          map=${heads?.[head]}
          top=${heads?.[head] && smallTop(shown, layer.kind, "head", heads[head])}
          pressed=${state.head === head}
          tag=${t("h {head}", { head })}
          name=${t("head {value}", { value: head })}
          choose=${() => set({ head })}
        />`,
    )}
  <//>`;
}
