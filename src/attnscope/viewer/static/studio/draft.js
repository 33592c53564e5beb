// The next picture, as the form has it: from the state to what is asked for, and back.

/** @import { State } from "attnscope/state" */
/** @import { Edit, RunAsked, RunInfo, Words } from "attnscope/studio/types" */

/** @typedef {"prompt" | "negative" | "seed" | "count" | "guidance" | "size"} Setting */
/** @typedef {Setting | "edits" | "layout"} DraftField */
/** @typedef {Pick<State, DraftField>} Draft */

/**
 * What is asked of the studio
 * @param {Draft} draft
 * @param {RunInfo | null} looked the run that is looked at, which an edited one is compared with
 * @returns {RunAsked}
 */
export function askedOf({ prompt, negative, seed, count, guidance, size, edits, layout }, looked) {
  const [height, width] = size ? size.split("x").map(Number) : [null, null];
  const isChange = edits.length > 0 || layout !== null;
  return {
    prompt,
    negative_prompt: negative,
    seed,
    steps: count,
    guidance_scale: guidance,
    height,
    width,
    edits,
    layout,
    before: isChange && looked?.trace !== null ? (looked?.number ?? null) : null,
  };
}

/**
 * The form as it was for a run
 * @param {RunAsked} asked
 * @returns {Draft}
 */
export const draftOf = (asked) => ({
  prompt: asked.prompt,
  negative: asked.negative_prompt,
  seed: asked.seed,
  count: asked.steps,
  guidance: asked.guidance_scale,
  size: asked.height && asked.width ? `${asked.height}x${asked.width}` : null,
  edits: asked.edits,
  layout: asked.layout,
});

/**
 * Whether two edits are for the same thing, so that one takes the other's place
 * @param {Edit} one
 * @param {Edit} other
 */
export function isSame(one, other) {
  if (one.edit !== other.edit) return false;
  if (one.edit === "ablate" && other.edit === "ablate") {
    const heads = [one, other].map(({ head }) => head ?? null);
    return one.block === other.block && one.kind === other.kind && heads[0] === heads[1];
  }
  if ("words" in one && "words" in other) return sameWords(one.words, other.words);
  return true;
}

/**
 * @param {Words} one
 * @param {Words} other
 */
export const sameWords = (one, other) => JSON.stringify(one) === JSON.stringify(other);

/**
 * The edits with one more, in place of an older one for the same thing
 * @param {Edit[]} edits
 * @param {Edit} edit
 */
export const withEdit = (edits, edit) => [...edits.filter((one) => !isSame(one, edit)), edit];

/**
 * @param {Edit[]} edits
 * @param {Edit} edit
 */
export const withoutEdit = (edits, edit) => edits.filter((one) => !isSame(one, edit));
