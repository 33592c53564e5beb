// Steps 6 and 7: the row of P, and what the values bring.

import { later, t } from "attnscope/lang";
import { Field } from "attnscope/learn/field";
import * as formulas from "attnscope/learn/formulas";
import { number, reach, rowOf, times } from "attnscope/learn/numbers";
import { hasPlaces, sums } from "attnscope/learn/sections";
import { forKey, shapeText, ShareLegend, SignedLegend, Step, taken } from "attnscope/learn/step";
import { keyButton, rowEvents, rowsOf, Top } from "attnscope/learn/top";
import { Bars, Strip } from "attnscope/learn/vectors";
import { percent } from "attnscope/maps";
import { html } from "attnscope/preact";
import * as source from "attnscope/source";

/** @import { Lesson } from "attnscope/learn/step" */
/** @import { Computed } from "attnscope/learn/types" */

/** @param {Lesson} lesson */
const meaning = ({ joint, layer, computed: { info, used } }) => {
  if (!joint) {
    return layer.kind === "self"
      ? t("This is where the place looks. The largest shares are below.")
      : t("This is what the place reads. The largest shares are below.");
  }
  const parts = sums(info.sections, used).map(
    (share, at) => `${partName(info.sections[at].name)} ${percent(share)}`,
  );
  return t("Of all of it: {parts}.", { parts: parts.join(", ") });
};

/** @param {string} name */
function partName(name) {
  if (name === "own") return t("the picture");
  return name === "context" ? t("the text") : name;
}

/** @param {Lesson} lesson */
export function ShareStep(lesson) {
  const { shapes, computed, read, state, focus } = lesson;
  const { info, exponentials, used } = computed;
  const top = reach(used);
  const quotient = html`${number(exponentials[focus.key])} / ${number(info.total)} =
    <b data-number="share">${percent(computed.probability[focus.key])}</b>`;
  return html`<${Step}
    at=${6}
    title=${t("Attention probability: shares")}
    formula=${formulas.share()}
    says=${html`${t(SHARES, { keys: info.keys })} ${meaning(lesson)}
    ${info.edited && html` <b>${t(EDITED)}</b>`}`}
    shape=${taken("Attention Probability", shapes?.probability, `P ${shapeText([info.keys])}`)}
    sum=${forKey(focus, quotient)}
  >
    <div class="learn-pair">
      <div>
        <${Field}
          name="shares"
          label=${t("Shares of attention")}
          values=${used}
          top=${top}
          info=${info}
          read=${read}
          state=${state}
          focus=${focus}
          value=${(/** @type {number} */ key) => percent(used[key])}
        />
        ${hasPlaces(info) && html`<${ShareLegend} top=${top} state=${state} />`}
      </div>
      <div>
        <${Top} computed=${computed} focus=${focus} />
        <p class="learn-note">
          <a href=${file(lesson)} download="computation.npz">NPZ</a> ${t("all numbers of this place")}
        </p>
      </div>
    </div>
  <//>`;
}

/**
 * Where all numbers are, for numpy.load
 * @param {Lesson} lesson
 */
function file({ info, layer, computed: { info: own } }) {
  const { block, kind, head, step, branch, image, row, column } = own;
  const [rows, columns] = layer.grid;
  const view = { block, head, step, branch, image };
  return source.computationFile(info.number, view, kind, [(row + 0.5) / rows, (column + 0.5) / columns]);
}

const SHARES = later(
  "Divided by their sum, the exponentials are shares of attention: all {keys} together are 100 %.",
);

const EDITED = later(
  "An edit of this run changed the row before it met the values: drawn is the row that was used, the sum " +
    "beside it is the softmax's own.",
);

/** @param {Lesson} lesson */
export function ValueStep(lesson) {
  const { shapes, computed, focus } = lesson;
  const { info, value, adds } = computed;
  return html`<${Step}
    at=${7}
    title=${t("Values: what they bring")}
    formula=${formulas.output()}
    says=${t(
      "Every key has a value, {dim} numbers. Each value is multiplied by the key's share and all are added " +
        "up: what comes out, o, goes on to the rest of the network.",
      { dim: info.dim },
    )}
    shape=${taken("Value", shapes?.value, `V ${shapeText([info.keys, info.dim])} → o (${info.dim})`)}
    sum=${adds && forKey(focus, t("brings {share} of o", { share: signedPercent(adds[focus.key]) }))}
  >
    ${value && adds ? html`<${Values} ...${lesson} />` : html`<${Missing} lacks=${computed.lacks} />`}
  <//>`;
}

/** @param {number} share */
const signedPercent = (share) => (share < 0 ? `−${percent(-share)}` : percent(share));

/** @param {{ lacks: string }} props */
const Missing = ({ lacks }) =>
  lacks
    ? html`<p class="learn-note">${lacks}</p>`
    : html`<p class="learn-note">
        ${t("This trace has no V: it was captured without. Keep it, as large as K, with")}
        <code>attnscope.capture(pipe, value=True)</code>.
      </p>`;

/** @param {Lesson} lesson */
function Values({ computed, read, state, focus }) {
  const { info, used } = computed;
  const value = /** @type {Float32Array} */ (computed.value);
  const output = /** @type {Float32Array} */ (computed.output);
  return html`<${Field}
      name="values"
      label=${t("The values")}
      values=${value}
      count=${info.dim}
      signed
      titles=${Array.from(output, (one) => `o = ${number(one, 3)}`)}
      info=${info}
      read=${read}
      state=${state}
      focus=${focus}
      value=${(/** @type {number} */ key) => percent(used[key])}
    />
    <${SignedLegend} top=${reach(value)} />
    <${Brought} computed=${computed} focus=${focus} />
    <${Bars} name="output" label=${t("The output")} rows=${[{ label: "o", values: output }]} />`;
}

const MEASURED = later(
  "Each strip has its own range of colours. What a key brings is measured along o: what points the other " +
    "way takes away, and is negative.",
);

const ROWS = 6;

/**
 * What each of the strongest keys adds, and all others together
 * @param {Pick<Lesson, "computed" | "focus">} props
 */
function Brought({ computed, focus }) {
  const { info, used } = computed;
  const [value, adds] = /** @type {Float32Array[]} */ ([computed.value, computed.adds]);
  const keys = rowsOf(computed, focus.key, ROWS);
  const rows = keys.map((key) => times(rowOf(value, key, info.dim), used[key]));
  const rest = restOf(computed, rows);
  return html`<table class="learn-top learn-brought">
      <thead>
        <tr>
          <th>${t("Key")}</th>
          <th>${t("share")}</th>
          <th>${t("share × value")}</th>
          <th>${t("of o")}</th>
        </tr>
      </thead>
      <tbody>
        ${keys.map(
          (key, at) =>
            html`<tr key=${at} ...${rowEvents(focus, key)}>
              ${keyButton(focus, key)}
              <td>${percent(used[key])}</td>
              <td class="learn-strip">
                <${Strip}
                  values=${rows[at]}
                  top=${reach(rows[at])}
                  label=${t("share × value of {key}", { key: focus.name(key) })}
                />
              </td>
              <td>${signedPercent(adds[key])}</td>
            </tr>`,
        )}
        <tr>
          <th scope="row">${t("all {count} others", { count: info.keys - keys.length })}</th>
          <td>${percent(Math.max(sum(used) - sum(keys.map((key) => used[key])), 0))}</td>
          <td class="learn-strip">
            <${Strip} values=${rest} top=${reach(rest)} label=${t("of all others")} />
          </td>
          <td>${signedPercent(sum(adds) - sum(keys.map((key) => adds[key])))}</td>
        </tr>
      </tbody>
    </table>
    <p class="learn-note">${t(MEASURED)}</p>`;
}

/** @param {Float32Array | number[]} values */
function sum(values) {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

/**
 * The output without these rows
 * @param {Computed} computed
 * @param {Float32Array[]} rows
 */
function restOf({ output }, rows) {
  return /** @type {Float32Array} */ (output).map((value, at) => value - sum(rows.map((row) => row[at])));
}
