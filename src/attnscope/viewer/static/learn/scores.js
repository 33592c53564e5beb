// Steps 1 to 3: what the place asks, what keys offer, and how well they fit.

import { later, t } from "attnscope/lang";
import { Field } from "attnscope/learn/field";
import * as formulas from "attnscope/learn/formulas";
import { number, products, reach, rowOf, term } from "attnscope/learn/numbers";
import { hasPlaces } from "attnscope/learn/sections";
import { forKey, shapeText, SignedLegend, Step, taken } from "attnscope/learn/step";
import { Bars } from "attnscope/learn/vectors";
import { html } from "attnscope/preact";

/** @import { Lesson } from "attnscope/learn/step" */

/** @param {Lesson} lesson */
export function QueryStep({ shapes, computed: { info, query } }) {
  return html`<${Step}
    at=${1}
    title=${t("Query: what the place asks")}
    formula=${formulas.query()}
    says=${t(
      "The latent image features of the place, x, are multiplied by a learned matrix. What comes out are " +
        "{dim} numbers that say what this place looks for.",
      { dim: info.dim },
    )}
    shape=${taken("Query", shapes?.query, `q ${shapeText([info.dim])}`)}
  >
    <${Bars} name="query" label=${t("The query")} rows=${[{ label: "q", values: query }]} />
  <//>`;
}

/** @param {Lesson} lesson */
const offers = ({ joint, layer, computed: { info } }) => {
  if (joint) {
    return t(
      "The picture's places and the text's tokens, {keys} together, each offer a key: one softmax is over " +
        "both.",
      { keys: info.keys },
    );
  }
  return layer.kind === "self"
    ? t(
        "In self-attention each of the {keys} places offers a key, made of its own latent image features, y.",
        {
          keys: info.keys,
        },
      )
    : t("In cross-attention each of the {keys} tokens offers a key, made of its text embedding, y.", {
        keys: info.keys,
      });
};

/** @param {Lesson} lesson */
export function KeyStep(lesson) {
  const { shapes, computed, read, state, focus } = lesson;
  const { info, key, query } = computed;
  const how = hasPlaces(info)
    ? t(
        "Each of the {dim} channels is one small picture: its number at every place, and above it what q " +
          "has in this channel.",
        { dim: info.dim },
      )
    : t("A column for each token, a row for each of the {dim} channels.", { dim: info.dim });
  return html`<${Step}
    at=${2}
    title=${t("Keys: what there is to look at")}
    formula=${formulas.key()}
    says=${`${offers(lesson)} ${how}`}
    shape=${taken("Key", shapes?.key, `K ${shapeText([info.keys, info.dim])}`)}
  >
    ${
      key
        ? html`<${Field}
              name="keys"
              label=${t("The keys")}
              values=${key}
              count=${info.dim}
              signed
              titles=${Array.from(query, (value) => `q = ${number(value, 3)}`)}
              info=${info}
              read=${read}
              state=${state}
              focus=${focus}
            />
            <${SignedLegend} top=${reach(key)} />`
        : html`<p class="learn-note">${computed.lacks}</p>`
    }
  <//>`;
}

const WRITTEN = 8; // products that are written out; of more the first three

/**
 * @param {Float32Array} query
 * @param {Float32Array} row
 * @param {number} score
 */
function sumText(query, row, score) {
  const shown = query.subarray(0, query.length > WRITTEN ? 3 : WRITTEN);
  const terms = Array.from(shown, (value, at) => `${term(value)} × ${term(row[at])}`);
  return html`${terms.join(" + ")}${shown.length < query.length && " + …"} =${" "}<b>${number(score)}</b>`;
}

const FIT = later(
  "q and the key are multiplied number by number, and the products added up: the score is large where both " +
    "point the same way, negative where they point away from each other.",
);

const ADDED = later("So the map is the sum of the channels above, each times its q.");

/** @param {Lesson} lesson */
export function ScoreStep({ shapes, computed, read, state, focus }) {
  const { info, query, key, scores } = computed;
  const row = key && rowOf(key, focus.key, info.dim);
  return html`<${Step}
    at=${3}
    title=${t("Scores: how well they fit")}
    formula=${formulas.score()}
    says=${`${t(FIT)} ${hasPlaces(info) ? t(ADDED) : ""}`}
    shape=${taken("QKᵀ", shapes?.probability, `s ${shapeText([info.keys])}`)}
    sum=${row && forKey(focus, sumText(query, row, scores[focus.key]))}
  >
    <div class="learn-pair">
      <div>
        <${Field}
          name="scores"
          label=${t("Scores")}
          values=${scores}
          signed
          info=${info}
          read=${read}
          state=${state}
          focus=${focus}
          value=${(/** @type {number} */ at) => number(scores[at])}
        />
        ${hasPlaces(info) && html`<${SignedLegend} top=${reach(scores)} />`}
      </div>
      ${
        row &&
        html`<${Bars}
          name="products"
          label=${t("The products of the key {key}", { key: focus.name(focus.key) })}
          rows=${[
            { label: "q", values: query },
            { label: "k", values: row },
            { label: "q × k", values: products(query, row) },
          ]}
        />`
      }
    </div>
  <//>`;
}
