// Small maps of what is looked at: in every block of the U-Net, drawn as the U it is, and in every head of one block.

import { html, useLayoutEffect, useRef } from "preact";
import { set } from "attnscope/state";
import { kindOf, layersOf } from "attnscope/look";
import { percent } from "attnscope/maps";
import { mapImage, put } from "attnscope/paint";

const SIDE = 64; // pixels of a small map

function Thumb({ map, grid, state, pressed, name, tag, details, choose }) {
  const canvas = useRef(null);
  const [height, width] =
    grid[0] >= grid[1]
      ? [SIDE, Math.round((SIDE * grid[1]) / grid[0])]
      : [Math.round((SIDE * grid[0]) / grid[1]), SIDE];
  useLayoutEffect(() => {
    const context = canvas.current.getContext("2d");
    if (map) put(context, mapImage(map, height, width, { ...state, top: null, opacity: 1, contour: false }));
    else context.clearRect(0, 0, width, height);
  }, [map, state.colours, state.scale, state.cells, height, width]);
  const numbers = map ? `\nbrightest ${percent(map.maximum)}, entropy ${map.entropy_bits.toFixed(2)} bits` : "";
  return html`<button
    class="thumb"
    aria-pressed=${pressed}
    aria-label=${name}
    title=${`${name}${numbers}${details ?? ""}`}
    onClick=${choose}
  >
    <canvas ref=${canvas} width=${width} height=${height}></canvas><span class="tag">${tag}</span>
  </button>`;
}

const WHAT = { self: "self-attention", cross: "cross-attention" };

// Choosing a block's self-attention looks at places, its cross-attention at words
function blockThumb(info, state, blocks, layer) {
  const mode = layer.kind === "self" ? "places" : "words";
  return html`<${Thumb}
    key=${`${layer.block} ${layer.kind}`}
    grid=${layer.grid}
    state=${state}
    map=${blocks[layer.kind].value?.find((map) => map.number === layer.block)}
    pressed=${state.block === layer.block && kindOf(state) === layer.kind}
    tag=${layer.block}
    name=${`block ${layer.block}, ${WHAT[layer.kind]}, ${layer.stage}, ${layer.grid.join(" by ")}`}
    details=${shapes(info, layer)}
    choose=${() => set({ block: layer.block, mode, cursor: null })}
  />`;
}

// The layer's tensors for one row of the batch, heads first
function shapes(info, layer) {
  const places = layer.grid[0] * layer.grid[1];
  const keys = layer.kind === "self" ? places : layer.keys;
  return `\nQ (${layer.heads}, ${places}, ${layer.head_dim}), K and V (${layer.heads}, ${keys}, ${layer.head_dim})\nP (${layer.heads}, ${places}, ${keys})\n${layer.path}`;
}

// Down on the left, up on the right, fine grids above coarse ones; in each block self-attention above cross-attention
export function UNet({ info, state, blocks }) {
  const grids = [...new Map(info.layers.map((layer) => [layer.grid.join(), layer.grid])).values()].sort(
    (one, other) => other[0] * other[1] - one[0] * one[1],
  );
  const numbers = (stage, grid) => [
    ...new Set(
      info.layers
        .filter((layer) => layer.stage === stage && layer.grid.join() === grid.join())
        .map((layer) => layer.block),
    ),
  ];
  const block = (number) =>
    html`<div class="block" key=${number}>
      ${info.layers.filter((layer) => layer.block === number).map((layer) => blockThumb(info, state, blocks, layer))}
    </div>`;
  const mean = (kind, mode, text) =>
    layersOf(info, kind).length > 0 &&
    html`<button
      aria-pressed=${state.block === null && kindOf(state) === kind}
      onClick=${() => set({ block: null, mode, cursor: null })}
    >
      ${text}
    </button>`;
  return html`<nav class="unet" aria-label="Blocks of the U-Net">
    <div class="means">${mean("self", "places", "self, mean")}${mean("cross", "words", "cross, mean")}</div>
    ${grids.map(
      (grid) =>
        html`<div class="scale" key=${grid.join()}>
          <div class="arm">${numbers("down", grid).map(block)}</div>
          <div class="middle"><small>${grid.join("×")}</small>${numbers("mid", grid).map(block)}</div>
          <div class="arm">${numbers("up", grid).map(block)}</div>
        </div>`,
    )}
    <p class="quiet">above self-attention of the place, below cross-attention of the words</p>
  </nav>`;
}

// The same as one row, where there is no room for the U
export function BlockStrip({ info, state, blocks }) {
  return html`<div class="strip" role="group" aria-label="The same in every block">
    <button class="thumb all" aria-pressed=${state.block === null} onClick=${() => set({ block: null })}>
      <b>all</b><span class="tag">mean</span>
    </button>
    ${layersOf(info, kindOf(state)).map((layer) => blockThumb(info, state, blocks, layer))}
  </div>`;
}

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
