// Fields of a form: a choice of several, a tick, a number.

import { t } from "attnscope/lang";
import { html, useState } from "attnscope/preact";
import { set } from "attnscope/state";

/** @import { State } from "attnscope/state" */

/**
 * @template V
 * @param {object} props
 * @param {string} props.label
 * @param {V} props.value
 * @param {[V, string, boolean?][]} props.options each with what it says, and whether that is a name
 * @param {(value: V) => void} props.change
 * @param {string} [props.title]
 */
export function Select({ label, value, options, change, title }) {
  /** @param {{ target: HTMLSelectElement }} event */
  const take = ({ target }) => {
    const chosen = options.find(([one]) => String(one) === target.value);
    if (chosen) change(chosen[0]);
  };
  return html`<label class="field" title=${title}
    ><span>${label}</span>
    <select value=${String(value)} onChange=${take}>
      ${options.map(
        ([one, text, isName]) =>
          html`<option value=${String(one)} selected=${one === value} translate=${!isName}>${text}</option>`,
      )}
    </select></label
  >`;
}

/**
 * @param {object} props
 * @param {string} props.label
 * @param {"contour" | "cells" | "unite" | "diff" | "through"} props.name
 * @param {State} props.state
 * @param {string} [props.title]
 */
export function Check({ label, name, state, title }) {
  /** @param {{ target: HTMLInputElement }} event */
  const take = ({ target }) => set({ [name]: target.checked });
  return html`<label class="check" title=${title}
    ><input type="checkbox" checked=${state[name]} onChange=${take} /> ${label}</label
  >`;
}

/**
 * A number that is taken when the field is left or Enter is pressed; what is typed stays until then, and what
 * is out of range goes back to the number in force.
 * @param {object} props
 * @param {string} props.label
 * @param {number | null} props.value
 * @param {number} props.low
 * @param {number} props.high
 * @param {boolean} [props.whole]
 * @param {null} [props.empty] what an empty field means; undefined: nothing
 * @param {string} [props.placeholder]
 * @param {(value: number | null) => void} props.change
 */
export function NumberField({ label, value, low, high, whole, empty, placeholder, change }) {
  const [draft, type] = useState(/** @type {string | null} */ (null));
  const take = () => {
    const number = draft === "" ? empty : Number(draft);
    if (draft !== null && number !== undefined && fits(number, low, high, whole)) change(number);
    type(null);
  };
  /** @param {{ target: HTMLInputElement }} event */
  const typed = ({ target }) => type(target.value);
  return html`<input
    type="number"
    aria-label=${label}
    title=${t("{low} to {high}", { low, high })}
    min=${low}
    max=${high}
    step=${whole ? 1 : "any"}
    placeholder=${placeholder}
    value=${draft ?? value ?? ""}
    onInput=${typed}
    onBlur=${take}
    onKeyDown=${(/** @type {KeyboardEvent} */ event) => event.key === "Enter" && take()}
  />`;
}

/**
 * @param {number | null} number
 * @param {number} low
 * @param {number} high
 * @param {boolean} [whole]
 */
const fits = (number, low, high, whole) =>
  number === null || (number >= low && number <= high && (!whole || Number.isInteger(number)));

/**
 * @param {object} props
 * @param {State} props.state
 */
export function Opacity({ state }) {
  /** @param {{ target: HTMLInputElement }} event */
  const take = ({ target }) => set({ opacity: Number(target.value) });
  return html`<label class="field" title=${t("of the brightest colour; 100 % hides the picture below it")}
    ><span>${t("Opacity")}</span>
    <div class="steps">
      <input
        type="range"
        min="0"
        max="1"
        step="0.05"
        aria-label=${t("opacity")}
        value=${state.opacity}
        onInput=${take}
      />
      <output>${Math.round(100 * state.opacity)} %</output>
    </div></label
  >`;
}
