// Formulas in plain HTML. Their letters are those of the papers.

import { number } from "attnscope/learn/numbers";
import { html } from "attnscope/preact";

/** @param {string} name @param {string} [below] */
const letter = (name, below) => html`<var>${name}</var>${below && html`<sub>${below}</sub>`}`;

/** @param {unknown} above @param {unknown} below */
const fraction = (above, below) =>
  html`<span class="learn-fraction"><span>${above}</span><span>${below}</span></span>`;

/** @param {unknown} inside */
const root = (inside) => html`<span class="learn-root">√<span>${inside}</span></span>`;

const dimension = letter("d", "k");

export const whole = () =>
  html`Attention Probability = softmax<span class="learn-large">(</span>${fraction(
      html`${letter("Q")}${letter("K")}<sup>T</sup>`,
      root(dimension),
    )}<span class="learn-large">)</span>`;

export const query = () => html`${letter("q")} = ${letter("x")} ${letter("W", "Q")}`;

export const key = () => html`${letter("k", "j")} = ${letter("y", "j")} ${letter("W", "K")}`;

export function score() {
  const sum = html`∑<sub>i</sub> ${letter("q", "i")} ${letter("k", "ji")}`;
  return html`${letter("s", "j")} = ${letter("q")} · ${letter("k", "j")} = ${sum}`;
}

/**
 * A scale that is not 1/√d is named as what it is
 * @param {boolean} usual
 * @param {number} scale
 * @param {boolean} masked
 */
export function scaled(usual, scale, masked) {
  const own = letter("s", "j");
  const product = usual ? fraction(own, root(dimension)) : html`${own} × ${number(scale)}`;
  return html`${letter("a", "j")} = ${product}${masked && html` + ${letter("m", "j")}`}`;
}

export const exponential = () => html`${letter("e", "j")} = exp(${letter("a", "j")} − max ${letter("a")})`;

export function share() {
  const sum = html`∑<sub>i</sub> ${letter("e", "i")}`;
  return html`${letter("P", "j")} = ${fraction(letter("e", "j"), sum)}`;
}

export const output = () => html`${letter("o")} = ∑<sub>j</sub> ${letter("P", "j")} ${letter("v", "j")}`;

/** @param {number | null} scale */
export function guidance(scale) {
  const factor = scale === null ? letter("s") : html`<b>${number(scale, 3)}</b>`;
  const [cond, uncond] = [letter("ε", "cond"), letter("ε", "uncond")];
  return html`${letter("ε")} = ${uncond} + ${factor} × (${cond} − ${uncond})`;
}
