// The help that opens by itself the first time.

import { html } from "attnscope/preact";
import { get, set } from "attnscope/state";

const SEEN = "attnscope-hint-seen";

const KEYS = [
  ["1 2 3 4", "modes"],
  ["[ ]", "block"],
  [", .", "step"],
  ["h", "head"],
  ["w", "word"],
  ["c", "code"],
  ["t", "light"],
];

/** @param {string} key */
const keycap = (key) => html`<kbd>${key}</kbd>`;

export function Hint() {
  if (!get().hint) return null;
  const close = () => {
    remember();
    set({ hint: false });
  };
  return html`<div class="hint" role="dialog" aria-label="Help">
    <p>
      <b>Move</b> over the picture: where does this place look?
      ${" "}<b>Click</b> pins it, <b>drag</b> pins a region.
    </p>
    <p>
      <b>Click a word</b>: where did it land?
      ${" "}<b>Click a small map</b>: that block alone, with its heads.
    </p>
    <p>
      <b>Keys</b>: arrows on the picture, Enter;
      ${KEYS.map(([keys, what]) => html`${keys.split(" ").map(keycap)}${` ${what}, `}`)}
      <kbd>?</kbd>${" this."}
    </p>
    <button autofocus onClick=${close}>Got it</button>
  </div>`;
}

function remember() {
  try {
    localStorage.setItem(SEEN, "1");
  } catch {
    // a page opened from disk may not be allowed to remember; it shows its hint again
  }
}

export function wasSeen() {
  try {
    return localStorage.getItem(SEEN) === "1";
  } catch {
    return false;
  }
}
