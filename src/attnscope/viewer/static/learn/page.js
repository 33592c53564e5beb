// The lesson: for one place of one layer the whole computation, from q to what the values bring.

import { useAnswer } from "attnscope/asking";
import { later, t, useLanguage } from "attnscope/lang";
import { chosenOf } from "attnscope/learn/choice";
import * as formulas from "attnscope/learn/formulas";
import { Guidance, otherHalf } from "attnscope/learn/guidance";
import { Knobs } from "attnscope/learn/knobs";
import { Layers, Tables } from "attnscope/learn/layers";
import { number } from "attnscope/learn/numbers";
import { Picture } from "attnscope/learn/picture";
import { ShareStep, ValueStep } from "attnscope/learn/result";
import { KeyStep, QueryStep, ScoreStep } from "attnscope/learn/scores";
import { keyName, nextKey, ownPlaces, sectionOf, tokenOf } from "attnscope/learn/sections";
import { ScaleStep, SoftmaxStep } from "attnscope/learn/softmax";
import { isPart, layersOf } from "attnscope/look";
import { percent } from "attnscope/maps";
import { html, useMemo, useState } from "attnscope/preact";
import * as source from "attnscope/source";
import { set } from "attnscope/state";
import { textOf } from "attnscope/words";

/** @import { Question } from "attnscope/asking" */
/** @import { State } from "attnscope/state" */
/** @import { FieldMap, Fitted, TextInfo, TraceInfo } from "attnscope/types" */
/** @import { Chosen, Computed, Focus, LessonInfo } from "attnscope/learn/types" */

/**
 * @template V
 * @param {TraceInfo} info
 * @param {unknown[]} parts
 * @param {() => Promise<V>} ask
 * @returns {Question<V>}
 */
const question = (info, parts, ask) => ({
  key: JSON.stringify([info.number, ...parts]),
  group: String(info.number),
  ask,
});

/**
 * @param {TraceInfo} info
 * @param {Chosen | null} chosen
 * @param {string | null} branch
 * @returns {Question<Computed> | undefined}
 */
function computationQuestion(info, chosen, branch) {
  if (!chosen || branch === null) return undefined;
  const [view, kind, place] = [{ ...chosen.view, branch }, chosen.layer.kind, chosen.place];
  return question(info, ["computation", view, kind, place], () =>
    source.computation(info.number, view, kind, place),
  );
}

/**
 * Where the token that is looked at landed, in this head and step
 * @param {TraceInfo} info
 * @param {Computed | null} computed
 * @param {number} key
 * @returns {Question<FieldMap> | undefined}
 */
function wordQuestion(info, computed, key) {
  if (!computed) return undefined;
  const { sections, block, head, step, branch, image } = computed.info;
  const section = sectionOf(sections, key);
  if (section.name !== "context") return undefined;
  const [view, token] = [{ block, head, step, branch, image }, key - section.first];
  return question(info, ["token", view, token], () => source.words(info.number, view, [token]));
}

/**
 * @param {Computed | null} computed
 * @param {number | null} lit under the pointer
 * @param {(key: number | null) => void} hover
 * @param {State} state
 * @param {TextInfo} read
 * @returns {Focus}
 */
function focusOf(computed, lit, hover, state, read) {
  if (!computed) return { key: 0, keys: 1, name: String, hover, choose: () => {}, next: () => null };
  const { sections, keys, top } = computed.info;
  const key = [lit, state.key].find((one) => one !== null && one < keys) ?? top[0];
  return {
    key,
    keys,
    name: (one) => keyName(sections, one, read),
    hover,
    choose: (one) => set({ key: one }),
    next: (arrow) => nextKey(sections, key, arrow),
  };
}

/** @param {{ info: TraceInfo, state: Fitted }} props */
export function Learn({ info, state }) {
  const [lit, hover] = useState(/** @type {number | null} */ (null));
  const chosen = chosenOf(info, state);
  const lesson = useAnswer(question(info, ["lesson"], () => source.lesson(info.number)));
  const own = useAnswer(computationQuestion(info, chosen, chosen && chosen.view.branch));
  const half = chosen && otherHalf(info, chosen.view.branch);
  const other = useAnswer(computationQuestion(info, chosen, half));
  const computed = own.value;
  const read = textOf(info, computed?.info ?? chosen?.view ?? state);
  const focus = focusOf(computed, lit, hover, state, read);
  const word = useAnswer(wordQuestion(info, computed, focus.key));
  const layerChosen = chosen?.layer; // what follows does not change with the key that is looked at
  const about = [info, layerChosen, useLanguage()];
  const knobs = useMemo(
    () => chosen && html`<${Knobs} info=${info} chosen=${chosen} />`,
    [...about, JSON.stringify(chosen)],
  );
  const layers = useMemo(() => chosen && html`<${Layers} info=${info} layer=${chosen.layer} />`, about);
  const tables = useMemo(
    () => chosen && html`<${Tables} info=${info} layer=${chosen.layer} lesson=${lesson.value} />`,
    [...about, lesson.value],
  );
  const isToken = computed !== null && sectionOf(computed.info.sections, focus.key).grid === null;
  const over = useMemo(() => overOf(computed, isToken, word.value), [computed, isToken, word.value]);
  if (!chosen) return html`<main class="learn"><p class="learn-problem">${t(NOTHING)}</p></main>`;
  const layer = computed ? layerOf(info, computed) : chosen.layer;
  const shapes = lesson.value?.layers.find(({ path }) => path === layer.path) ?? null;
  const error = own.error ?? lesson.error;
  const parts = computed && {
    ...{ info, state, layer, shapes, read, focus, computed },
    joint: isPart(layer),
  };
  return html`<main class="learn">
    <div class="learn-side">
      <${Picture}
        info=${info}
        state=${state}
        chosen=${chosen}
        computed=${computed}
        focus=${focus}
        over=${over}
        ready=${!own.busy && !word.busy && !other.busy}
      />
      ${knobs}${layers}
    </div>
    <article class="learn-flow">
      <header class="learn-head">
        <div>
          <h2>${t("One place of one layer: the whole computation")}</h2>
          <p class="learn-note">${t(HOW)}</p>
        </div>
        <p class="learn-formula">${formulas.whole()}</p>
      </header>
      ${error && html`<p class="learn-problem" role="alert">${error.message}</p>`}
      ${parts && html`<${Steps} ...${parts} />`}
      ${parts && html`<${Guidance} ...${parts} scale=${scaleOf(lesson.value)} other=${other} />`} ${tables}
      ${computed && html`<${Key} computed=${computed} focus=${focus} info=${info} />`}
    </article>
  </main>`;
}

const HOW = later(
  "Drag the place on the picture. Point at a key in any drawing: it is shown in all of them.",
);

const NOTHING = later(
  "This trace holds neither self- nor cross-attention, so there is no computation to show.",
);

/** @param {LessonInfo | null} lesson */
const scaleOf = (lesson) => lesson?.guidance_scale ?? null;

/** @param {any} parts */
const Steps = (parts) =>
  [QueryStep, KeyStep, ScoreStep, ScaleStep, SoftmaxStep, ShareStep, ValueStep].map(
    (One, at) => html`<${One} key=${at} ...${parts} />`,
  );

/**
 * The layer that an answer is about, which may still be the one before
 * @param {TraceInfo} info
 * @param {Computed} computed
 */
function layerOf(info, { info: { block, kind } }) {
  const layers = layersOf(info, kind);
  return layers.find((layer) => layer.block === block) ?? layers[0];
}

/**
 * What lies over the picture: where the token landed that is looked at, else where the place looks
 * @param {Computed | null} computed
 * @param {boolean} isToken whether a token is looked at
 * @param {FieldMap | null} word
 */
function overOf(computed, isToken, word) {
  if (!computed) return null;
  const { sections, image } = computed.info;
  const own = ownPlaces(sections, image);
  if (isToken || !own?.grid) return isToken ? word : null;
  const [height, width] = own.grid;
  return { height, width, values: computed.used.subarray(own.first, own.first + own.keys) };
}

/**
 * The key that is looked at, with its numbers, always in sight
 * @param {{ computed: Computed, focus: Focus, info: TraceInfo }} props
 */
function Key({ computed, focus, info }) {
  const { key } = focus;
  const { scores, scaled, exponentials, used, info: own } = computed;
  const token = tokenOf(sectionOf(own.sections, key), key, textOf(info, own));
  return html`<div
    class="learn-focus"
    role="status"
    aria-live="off"
    data-key=${key}
    data-token=${token?.index}
  >
    <i class="learn-swatch key"></i><b>${focus.name(key)}</b>
    <span><small>q·k</small> ${number(scores[key])}</span>
    <span><small>${t("scaled")}</small> ${number(scaled[key])}</span>
    <span><small>exp</small> ${number(exponentials[key])}</span>
    <span><small>P</small> <b>${percent(used[key])}</b></span>
  </div>`;
}
