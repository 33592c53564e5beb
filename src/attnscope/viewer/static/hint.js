// The help that opens by itself the first time.

import { later, rich, t } from "attnscope/lang";
import { html, useEffect } from "attnscope/preact";
import { toPicture } from "attnscope/skip";
import { get, set } from "attnscope/state";

const SEEN = "attnscope-hint-seen";

const KEYS = [
  ["1 – 5", later("modes")],
  ["[ ]", later("block")],
  [", .", later("step")],
  ["h", later("head")],
  ["w", later("word")],
  ["p", later("the picture alone, held")],
  ["c", later("code")],
  ["t", later("light")],
  ["?", later("this help")],
];

/** What is done, and what it shows */
const ACTIONS = [
  [later("Move"), later("{action} over the picture: where does this place look?")],
  [later("Click or tap"), later("{action}: a pin there; drag for a region.")],
  [later("Click a word"), later("{action}: where did it land? Shift adds one more.")],
  [later("Click a small map"), later("{action}: that block alone, with its heads.")],
];

/** @param {string} key */
const keycap = (key) => html`<kbd translate=${false}>${key}</kbd>`;

export function Hint() {
  const { hint } = get();
  useEffect(() => (hint ? leave : undefined), [hint]);
  if (!hint) return null;
  return html`<div class="hint" role="dialog" aria-label=${t("Help")}>
    ${ACTIONS.map(([action, text]) => html`<p>${rich(text, { action: html`<b>${t(action)}</b>` })}</p>`)}
    <p>${rich("{keys}: arrows on the picture, Enter", { keys: html`<b>${t("Keys")}</b>` })}</p>
    <ul>
      ${KEYS.map(([keys, what]) => html`<li>${keys.split(" ").map(keycap)} ${t(what)}</li>`)}
    </ul>
    <button autofocus onClick=${() => set({ hint: false })}>${t("Got it")}</button>
  </div>`;
}

/** However the help was closed, keys go on at the picture */
function leave() {
  remember();
  toPicture();
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
