// Which layer: the U, or the column of blocks, as buttons; and the tables of all shapes.

import { blocksOf, gridsOf, isUNet, stagesOf } from "attnscope/blocks";
import { later, t } from "attnscope/lang";
import { shapeText } from "attnscope/learn/step";
import { isPart } from "attnscope/look";
import { html } from "attnscope/preact";
import { set } from "attnscope/state";

/** @import { Grid, LayerInfo, TraceInfo } from "attnscope/types" */
/** @import { LessonInfo, LessonLayer } from "attnscope/learn/types" */

/** @param {{ block: number, kind: LayerInfo["kind"] }} layer */
const choose = ({ block, kind }) => set({ block, kind, key: null, cursor: null });

/**
 * Of a joint attention one layer stands for its parts: they have one softmax
 * @param {TraceInfo} info
 * @param {number} block
 */
const softmaxes = (info, block) =>
  info.layers.filter(
    (layer) => layer.block === block && !(isPart(layer) && layer.kind === "cross" && hasSelf(info, layer)),
  );

/**
 * @param {TraceInfo} info
 * @param {LayerInfo} layer
 */
const hasSelf = (info, layer) =>
  info.layers.some(({ block, kind }) => block === layer.block && kind === "self");

/** @param {LayerInfo} layer */
export function kindName(layer) {
  if (isPart(layer)) return t("Joint attention");
  return layer.kind === "self" ? t("Self-attention") : t("Cross-attention");
}

/** @param {{ info: TraceInfo, layer: LayerInfo }} props */
export function Layers({ info, layer: chosen }) {
  /** @param {number} block */
  const cell = (block) =>
    html`<div class="learn-block" key=${block}>
      <small>${block}</small>
      ${softmaxes(info, block).map((layer) => button(layer, chosen))}
    </div>`;
  const joint = info.layers.some(isPart);
  return html`<nav class="learn-layers" aria-label=${t("Layers of the model")}>
    ${isUNet(info) ? theU(info, cell) : theColumn(info, cell)}
    <p class="learn-note">
      ${
        joint
          ? t("Each box is a block's attention.")
          : html`<i class="learn-box self"></i>${t("Self-attention")}${" "}<i class="learn-box cross"></i
              >${t("Cross-attention")}`
      }
    </p>
  </nav>`;
}

/**
 * @param {LayerInfo} layer
 * @param {LayerInfo} chosen
 */
function button(layer, chosen) {
  const pressed = layer.block === chosen.block && (layer.kind === chosen.kind || isPart(layer));
  const name = t("block {block}, {kind}, {grid}, {heads} heads of {dim}", {
    block: layer.block,
    kind: kindName(layer),
    grid: layer.grid.join("×"),
    heads: layer.heads,
    dim: layer.head_dim,
  });
  return html`<button
    class=${`learn-box ${isPart(layer) ? "joint" : layer.kind}`}
    aria-pressed=${pressed}
    aria-label=${name}
    title=${name}
    onClick=${() => choose(layer)}
  ></button>`;
}

/** @typedef {(block: number) => unknown} Cell */

/**
 * Down on the left, up on the right, fine grids above coarse ones, which stand further inside
 * @param {TraceInfo} info
 * @param {Cell} cell
 */
const theU = (info, cell) =>
  gridsOf(info).map(
    (/** @type {Grid} */ grid, at) =>
      html`<div class="learn-scale" key=${grid.join()} style=${{ padding: `0 ${at * 5}%` }}>
        <div>${blocksOf(info, "down", grid).map(cell)}</div>
        <div class="learn-middle">
          <small>${grid.join("×")}</small>
          <span>${blocksOf(info, "mid", grid).map(cell)}</span>
        </div>
        <div>${blocksOf(info, "up", grid).map(cell)}</div>
      </div>`,
  );

/**
 * @param {TraceInfo} info
 * @param {Cell} cell
 */
const theColumn = (info, cell) =>
  gridsOf(info).flatMap((/** @type {Grid} */ grid) =>
    stagesOf(info, grid).map(
      (/** @type {string} */ stage) =>
        html`<div class="learn-list" key=${`${stage} ${grid.join()}`}>
          <small>${stage} · ${grid.join("×")}</small>
          <div>${blocksOf(info, stage, grid).map(cell)}</div>
        </div>`,
    ),
  );

/** @type {Record<string, [string, string]>} what the tables are called, and the letters of its kind */
const TITLES = {
  self: [later("Shapes of self-attention"), "self"],
  cross: [later("Shapes of cross-attention"), "cross"],
  joint: [later("Shapes of joint attention"), "joint"],
};

/** @param {{ info: TraceInfo, layer: LayerInfo, lesson: LessonInfo | null }} props */
export function Tables({ info, layer, lesson }) {
  if (!lesson) return null;
  const kinds = [...new Set(lesson.layers.map(({ kind }) => kind))];
  return html`<section class="learn-step learn-tables" aria-label=${t("All layers of this model")}>
    <header><h3>${t("All layers of this model")}</h3></header>
    ${kinds.some((kind) => kind !== "joint") && html`<${Sources} />`}
    ${kinds.map((kind) => html`<${Shapes} key=${kind} ...${{ info, kind, lesson }} chosen=${layer} />`)}
  </section>`;
}

/** Where Q, K and V come from */
const Sources = () => {
  const latent = t("latent image features");
  const text = t("outside condition (e.g. text embedding)");
  return html`<table class="learn-sources">
    <caption>
      ${t("How self- and cross-attention differ")}
    </caption>
    <thead>
      <tr>
        <th></th>
        <th>Query</th>
        <th>Key</th>
        <th>Value</th>
      </tr>
    </thead>
    <tbody>
      <tr>
        <th scope="row">Self</th>
        <td>${latent}</td>
        <td>${latent}</td>
        <td>${latent}</td>
      </tr>
      <tr>
        <th scope="row">Cross</th>
        <td>${latent}</td>
        <td>${text}</td>
        <td>${text}</td>
      </tr>
    </tbody>
  </table>`;
};

/** @param {{ info: TraceInfo, chosen: LayerInfo, kind: string, lesson: LessonInfo }} props */
function Shapes({ info, chosen, kind, lesson }) {
  const layers = lesson.layers.filter((layer) => layer.kind === kind);
  const [title] = TITLES[kind] ?? [later("Shapes of {kind}-attention")];
  return html`<div class="learn-scroll" tabindex="0">
    <table class="learn-shapes">
      <caption>
        ${t(title, { kind })}
        <small>${leading(layers[0])}</small>
      </caption>
      <thead>
        <tr>
          ${[t("Index"), t("Grid"), t("Heads"), "dim", "Query Shape", "Key Shape", "Value Shape"].map(
            (name) => html`<th scope="col">${name}</th>`,
          )}
          <th scope="col">Attention Probability Shape</th>
        </tr>
      </thead>
      <tbody>
        ${layers.map((layer) => shapesRow(info, layer, chosen))}
      </tbody>
    </table>
  </div>`;
}

/**
 * What the first number of every shape is made of
 * @param {LessonLayer} layer
 */
function leading({ query, batch, branches, heads }) {
  const values = { all: query[0], batch, branches, heads };
  if (batch > 1) {
    return t(
      "The {all} (={batch}x{branches}x{heads}) of the batch dimension: x{batch} by pictures, x{branches} " +
        "by classifier-free guidance, x{heads} by multi-head attention.",
      values,
    );
  }
  return branches > 1
    ? t(
        "The {all} (={branches}x{heads}) of the batch dimension: x{branches} by classifier-free guidance, " +
          "x{heads} by multi-head attention.",
        values,
      )
    : t(
        "The {all} of the batch dimension: x{heads} by multi-head attention; this trace has no second half.",
        values,
      );
}

/**
 * @param {TraceInfo} info
 * @param {LessonLayer} layer
 * @param {LayerInfo} chosen
 */
function shapesRow(info, layer, chosen) {
  const own = softmaxes(info, layer.block).find((one) => one.path === layer.path);
  const { block, grid, heads, head_dim, query, key, value, probability } = layer;
  return html`<tr key=${layer.path} class=${layer.path === chosen.path ? "lit" : ""}>
    <th scope="row">
      ${own ? html`<button class="learn-key" onClick=${() => choose(own)}>${block}</button>` : block}
    </th>
    <td>${grid.join("×")}</td>
    <td>${heads}</td>
    <td>${head_dim}</td>
    ${[query, key, value, probability].map((shape) => html`<td>${shapeText(shape)}</td>`)}
  </tr>`;
}
