// Where the keyboard's focus begins, and short ways to the parts of the page.

import { t } from "attnscope/lang";
import { html } from "attnscope/preact";

/** The page begins at the picture: keys work there at once, Shift with Tab leads back to words and bar. */
export function toPicture() {
  if (!focusOn(".stage")) focusOn("main");
}

/**
 * @param {string} selector of something that can have the focus
 * @returns {boolean} whether there is such a thing
 */
function focusOn(selector) {
  /** @type {HTMLElement | null} */
  const place = document.querySelector(selector);
  place?.focus({ preventScroll: true });
  place?.scrollIntoView({ block: "nearest" });
  return place !== null;
}

/** Buttons that are seen when the Tab key reaches them. In the order of the page. */
export function Skip() {
  return html`<nav class="skip" aria-label=${t("Short ways")}>
    <button onClick=${toPicture}>${t("To the picture")}</button>
    <button onClick=${() => focusOn(".words button[tabindex='0']")}>${t("To the prompt")}</button>
    <button onClick=${() => focusOn("aside")}>${t("To choices and numbers")}</button>
  </nav>`;
}
