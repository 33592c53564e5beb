// Where words may be read: a box or a painted region for each, drawn on the picture.

import { t } from "attnscope/lang";
import { html } from "attnscope/preact";
import { set } from "attnscope/state";
import { sameWords, withoutEdit } from "attnscope/studio/draft";

/** @import { Edit, Mask, Region } from "attnscope/studio/types" */
/** @import { EditWord } from "attnscope/studio/edit" */
/** @import { Fitted, Place } from "attnscope/types" */

export const MASK_SIDE = 64; // pixels of a painted region along each side
const BRUSH = 0.06; // of the picture's side

/** @param {{ words: EditWord[], state: Fitted }} props */
export function Regions({ words, state }) {
  const regions = /** @type {Region[]} */ (state.edits.filter((edit) => edit.edit === "region"));
  return html`<section>
    <h2>${t("Places of words")}</h2>
    <p class="quiet">
      ${t("Choose a word, then draw a box on the picture, or paint: it is read there and nowhere else.")}
    </p>
    <div class="chips" role="group" aria-label=${t("word to place")}>
      ${words.map(
        (word) =>
          html`<button
            aria-pressed=${state.placing === word.key}
            onClick=${() => set((now) => ({ placing: now.placing === word.key ? null : word.key }))}
          >
            ${word.text}
          </button>`,
      )}
    </div>
    ${
      state.placing !== null &&
      html`<div class="modes" role="group" aria-label=${t("how to draw")}>
        <button aria-pressed=${!state.paints} onClick=${() => set({ paints: false })}>${t("box")}</button>
        <button aria-pressed=${state.paints} onClick=${() => set({ paints: true })}>${t("brush")}</button>
      </div>`
    }
    <ul class="edits">
      ${regions.map(
        (region) =>
          html`<li>
            ${regionText(region, words)}
            <button
              class="bare"
              aria-label=${t("remove: {what}", { what: regionText(region, words) })}
              onClick=${() => set((now) => ({ edits: withoutEdit(now.edits, region) }))}
            >
              ✕
            </button>
          </li>`,
      )}
    </ul>
  </section>`;
}

/**
 * @param {Region} region
 * @param {EditWord[]} words
 */
function regionText(region, words) {
  const word = words.find((one) => sameWords(one.words, region.words))?.text ?? String(region.words);
  if (region.mask) return t("{word}: a painted region", { word });
  const [top, left, bottom, right] = (region.box ?? [0, 0, 1, 1]).map((share) => Math.round(100 * share));
  return t("{word}: {top}–{bottom} % down, {left}–{right} % across", { word, top, left, bottom, right });
}

/**
 * The box between two places
 * @param {Place} from
 * @param {Place} to
 * @returns {[number, number, number, number]}
 */
export function boxOfPlaces(from, to) {
  const [top, bottom] = [from[0], to[0]].sort((one, other) => one - other);
  const [left, right] = [from[1], to[1]].sort((one, other) => one - other);
  return [top, left, Math.min(bottom, 1), Math.min(right, 1)];
}

/**
 * Pixels of a painted region, row by row
 * @param {Mask} mask
 */
export function pixelsOf({ height, width, bits }) {
  const bytes = Uint8Array.from(atob(bits), (letter) => letter.charCodeAt(0));
  return Uint8Array.from({ length: height * width }, (_, at) => (bytes[at >> 3] >> (7 - (at & 7))) & 1);
}

/**
 * @param {ArrayLike<number>} pixels
 * @param {number} height
 * @param {number} width
 * @returns {Mask}
 */
export function maskOf(pixels, height, width) {
  const bytes = new Uint8Array(Math.ceil((height * width) / 8));
  for (let at = 0; at < pixels.length; at++) if (pixels[at]) bytes[at >> 3] |= 128 >> (at & 7);
  return { height, width, bits: btoa(String.fromCharCode(...bytes)) };
}

/**
 * The region with a stroke of the brush more
 * @param {Mask | null | undefined} mask
 * @param {Place} from
 * @param {Place} to
 */
export function painted(mask, from, to) {
  const side = MASK_SIDE;
  const pixels = mask ? pixelsOf(mask) : new Uint8Array(side * side);
  const far = Math.hypot(to[0] - from[0], to[1] - from[1]);
  const steps = Math.max(1, Math.ceil((2 * far) / BRUSH));
  for (let step = 0; step <= steps; step++) {
    const way = step / steps;
    dab(pixels, [from[0] + (to[0] - from[0]) * way, from[1] + (to[1] - from[1]) * way]);
  }
  return maskOf(pixels, side, side);
}

/**
 * @param {Uint8Array} pixels
 * @param {Place} at
 */
function dab(pixels, [y, x]) {
  for (let row = 0; row < MASK_SIDE; row++) {
    for (let column = 0; column < MASK_SIDE; column++) {
      const far = Math.hypot((row + 0.5) / MASK_SIDE - y, (column + 0.5) / MASK_SIDE - x);
      if (far <= BRUSH) pixels[row * MASK_SIDE + column] = 1;
    }
  }
}

/**
 * The edits with a region for the word that is being placed
 * @param {Edit[]} edits
 * @param {EditWord} word
 * @param {{ box: [number, number, number, number] } | { mask: Mask }} where
 * @returns {Edit[]}
 */
export function placed(edits, word, where) {
  const others = edits.filter((edit) => edit.edit !== "region" || !sameWords(edit.words, word.words));
  return [...others, { edit: "region", words: word.words, ...where }];
}
