// What all steps of a lesson have: a number, a formula, the shapes, sentences, and a legend of colours.

import { number } from "attnscope/learn/numbers";
import { percent, valueOf } from "attnscope/maps";
import { cssColour } from "attnscope/paint";
import { html } from "attnscope/preact";
import { table } from "attnscope/ramps";

/** @import { State } from "attnscope/state" */
/** @import { LayerInfo, TextInfo, TraceInfo } from "attnscope/types" */
/** @import { Computed, Focus, LessonLayer, Shape } from "attnscope/learn/types" */

/**
 * Everything that a step shows. shapes: of the layer's tensors, null until they are known; joint: whether one
 * softmax is over picture and text
 * @typedef {object} Lesson
 * @property {TraceInfo} info
 * @property {State} state
 * @property {LayerInfo} layer
 * @property {LessonLayer | null} shapes
 * @property {boolean} joint
 * @property {TextInfo} read
 * @property {Computed} computed
 * @property {Focus} focus
 */

/**
 * @param {object} props
 * @param {number} props.at its number
 * @param {string} props.title
 * @param {unknown} props.formula
 * @param {unknown} props.shape
 * @param {unknown} props.says
 * @param {unknown} [props.sum] the numbers of the key that is looked at
 * @param {unknown} props.children
 */
export function Step({ at, title, formula, shape, says, sum, children }) {
  return html`<section class="learn-step" aria-label=${title} data-step=${at}>
    <header>
      <b class="learn-at">${at}</b>
      <h3>${title}</h3>
      <p class="learn-formula">${formula}</p>
    </header>
    <div class="learn-says">
      <p>${says}</p>
      <p class="learn-shape">${shape}</p>
      ${sum && html`<p class="learn-sum">${sum}</p>`}
    </div>
    <div class="learn-drawing">${children}</div>
  </section>`;
}

/** @param {ArrayLike<number>} shape */
export const shapeText = (shape) => `(${Array.from(shape).join(", ")})`;

/**
 * The shape of all of it, and of what this step takes from it
 * @param {string} name
 * @param {Shape | undefined} whole
 * @param {string} part
 */
export const taken = (name, whole, part) =>
  html`<span>${name} ${whole && shapeText(whole)}</span> <span class="learn-part">→ ${part}</span>`;

/** @param {{ top: number, shares?: boolean }} props */
export function SignedLegend({ top, shares }) {
  const end = shares ? percent(top) : number(top, 3);
  return html`<p class="learn-legend">
    <span>−${end}</span><i class="learn-signed"></i><span>${end}</span>
  </p>`;
}

/** @param {{ top: number, state: State }} props */
export function ShareLegend({ top, state }) {
  const colours = table(state.colours);
  const stops = Array.from({ length: 9 }, (_, at) => {
    const level = Math.round((255 * at) / 8);
    return cssColour(colours.subarray(3 * level, 3 * level + 3));
  });
  return html`<p class="learn-legend">
    <span>${percent(valueOf(0, top, state.scale))}</span>
    <i style=${{ background: `linear-gradient(to right, ${stops.join(", ")})` }}></i>
    <span>${percent(top)}</span>
  </p>`;
}

/**
 * "for KEY: ..." before the numbers of the key that is looked at
 * @param {Focus} focus
 * @param {unknown} numbers
 */
export const forKey = (focus, numbers) =>
  html`<span class="learn-key">${focus.name(focus.key)}</span> <span class="learn-numbers">${numbers}</span>`;
