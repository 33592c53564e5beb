// Guidance's two halves: the same place with the text and withoutText.

import { later, t } from "attnscope/lang";
import { Field } from "attnscope/learn/field";
import * as formulas from "attnscope/learn/formulas";
import { number, reach } from "attnscope/learn/numbers";
import { hasPlaces, keyName, sectionOf } from "attnscope/learn/sections";
import { ShareLegend, SignedLegend } from "attnscope/learn/step";
import { html, useMemo } from "attnscope/preact";
import { textOf } from "attnscope/words";

/** @import { Answer, TraceInfo } from "attnscope/types" */
/** @import { Computed } from "attnscope/learn/types" */
/** @import { Lesson } from "attnscope/learn/step" */

const HALVES = ["uncond", "cond"];

/**
 * The branch beside the chosen one, null where the trace lacks one of the two
 * @param {TraceInfo} info
 * @param {string} branch
 */
export function otherHalf({ branches }, branch) {
  if (!HALVES.every((half) => branches.includes(half))) return null;
  return branch === "uncond" ? "cond" : "uncond";
}

/**
 * other: the computation of the same place in the other branch
 * @param {Lesson & { scale: number | null, other: Answer<Computed> }} props
 */
export function Guidance({ other, scale, ...lesson }) {
  const { info, computed } = lesson;
  const half = otherHalf(info, computed.info.branch);
  return html`<section class="learn-step" aria-label=${t("Guidance: two halves")} data-step="guidance">
    <header>
      <h3>${t("Guidance: two halves")}</h3>
      <p class="learn-formula">${formulas.guidance(half && scale)}</p>
    </header>
    <div class="learn-says">
      <p>${t(MEANING)} ${half !== null && html`<b>${ownScale(scale)}</b>`}</p>
      ${half === null && html`<p class="learn-note">${oneBranch(info)}</p>`}
      ${half !== null && info.branches.length > 2 && html`<p class="learn-note">${moreBranches(info)}</p>`}
    </div>
    <div class="learn-drawing">
      ${other.error && html`<p class="learn-note">${other.error.message}</p>`}
      ${half !== null && other.value && html`<${Halves} ...${lesson} other=${other.value} />`}
    </div>
  </section>`;
}

/** @param {number | null} scale */
const ownScale = (scale) =>
  scale === null ? t("This run's s is unknown.") : t("In this run s = {scale}.", { scale: number(scale, 3) });

const MEANING = later(
  "Guidance asks the model twice in every step, with the prompt (cond) and without it or with the negative " +
  "prompt (uncond), and goes s times the way from the second answer to the first: what only the words " +
  "bring becomes s times as strong.",
);

/** @param {TraceInfo} info */
const moreBranches = ({ branches }) =>
  t("This run has more branches, {branches}: their terms are left out of the formula.", {
    branches: branches.filter((branch) => !HALVES.includes(branch)).join(", "),
  });

/** @param {TraceInfo} info */
const oneBranch = ({ branches }) =>
  t(
    "This trace has only {branches}, so there is nothing to compare: the run had no guidance, its guidance " +
      "is built into the model, or the capture kept one branch.",
    { branches: branches.join(", ") },
  );

/** @param {Lesson & { other: Computed }} props */
function Halves({ info, state, joint, layer, computed, other, focus }) {
  const both = [computed, other].sort(
    (one, another) => HALVES.indexOf(one.info.branch) - HALVES.indexOf(another.info.branch),
  );
  const top = Math.max(...both.map(({ used }) => reach(used)));
  const fits = both[0].used.length === both[1].used.length;
  const isPlace = fits && sectionOf(computed.info.sections, focus.key).grid !== null;
  const compares = fits && !joint && layer.kind === "self"; // texts have other tokens
  const [withoutText, withText] = both.map(({ used }) => used);
  const change = useMemo(
    () => compares && withText.map((share, at) => share - withoutText[at]),
    [compares, withoutText, withText],
  );
  return html`<div class="learn-halves">
      ${both.map((half) => {
        const read = textOf(info, half.info);
        const isOwn = half === computed;
        return html`<figure key=${half.info.branch}>
          <figcaption>
            <b>${half.info.branch}</b> ${read.text ? `“${read.text}”` : t("empty text")}
          </figcaption>
          <${Field}
            name=${half.info.branch}
            label=${t("Shares of attention, {branch}", { branch: half.info.branch })}
            values=${half.used}
            top=${top}
            info=${half.info}
            read=${read}
            state=${state}
            focus=${{
              ...focus,
              key: isOwn || isPlace ? focus.key : -1,
              name: (/** @type {number} */ key) => keyName(half.info.sections, key, read),
            }}
          />
        </figure>`;
      })}
      ${
        change &&
        html`<figure>
          <figcaption><b translate=${false}>${"cond − uncond"}</b> ${t("what the words change")}</figcaption>
          <${Field}
            name="change"
            label=${t("What the words change")}
            values=${change}
            signed
            info=${computed.info}
            read=${textOf(info, computed.info)}
            state=${state}
            focus=${focus}
          />
          <${SignedLegend} top=${reach(change)} shares />
        </figure>`
      }
    </div>
    ${hasPlaces(computed.info) && html`<${ShareLegend} top=${top} state=${state} />`}`;
}
