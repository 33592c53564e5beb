// Text for the clipboard, and the word that it is there, which moves nothing.

import { t } from "attnscope/lang";
import { html, useEffect, useState } from "attnscope/preact";

const TOLD_MS = 2500;

/** @type {Set<(text: string) => void>} */
const listeners = new Set();

/**
 * @param {string} text
 * @param {string} what it is, in the page's language
 */
export async function copy(text, what) {
  const done = await written(text);
  if (!done) console.info(text);
  tell(
    done
      ? t("{what} copied", { what })
      : t("{what}: this browser lets nothing be copied; it stands in the console", { what }),
  );
}

/**
 * Browsers give a clipboard to https and this machine only; elsewhere a selection can be copied
 * @param {string} text
 */
async function written(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return selected(text);
  }
}

/** @param {string} text */
function selected(text) {
  const before = document.activeElement;
  const field = document.createElement("textarea");
  field.className = "spoken";
  field.value = text;
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  if (before instanceof HTMLElement) before.focus({ preventScroll: true });
  return done;
}

/**
 * Says something for a moment
 * @param {string} text
 */
export function tell(text) {
  for (const listener of listeners) listener(text);
}

/** Lies over the page */
export function Told() {
  const [text, say] = useState("");
  useEffect(() => {
    listeners.add(say);
    return () => {
      listeners.delete(say);
    };
  }, []);
  useEffect(() => {
    const timer = setTimeout(() => say(""), TOLD_MS);
    return () => clearTimeout(timer);
  }, [text]);
  return html`<p class="told" role="status">${text}</p>`;
}
