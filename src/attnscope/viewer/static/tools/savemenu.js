// The menu of what can be saved.

import { t } from "attnscope/lang";
import { nameOf } from "attnscope/naming";
import { html, useEffect, useRef, useState } from "attnscope/preact";
import * as source from "attnscope/source";
import { Making } from "attnscope/tools/making";
import { SAVES } from "attnscope/tools/saves";

/** @import { Shown } from "attnscope/scale" */
/** @import { Save } from "attnscope/tools/saves" */

/** @param {{ first: Shown, second: Shown | null }} props */
export function SaveMenu({ first, second }) {
  const [isOpen, turn] = useState(false);
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  const close = () => {
    turn(false);
    /** @type {HTMLElement | null | undefined} */ (place.current?.querySelector("#save"))?.focus();
  };
  useEffect(() => {
    if (!isOpen) return undefined;
    itemsIn(place.current)[0]?.focus();
    /** @param {PointerEvent} event */
    const leave = ({ target }) => {
      if (!place.current?.contains(/** @type {Node} */ (target))) turn(false);
    };
    addEventListener("pointerdown", leave);
    return () => removeEventListener("pointerdown", leave);
  }, [isOpen]);
  /** @param {KeyboardEvent} event */
  const onKey = (event) => {
    if (!isOpen) return;
    event.stopPropagation();
    if (event.key === "Escape") close();
    else if (event.key === "Tab") turn(false);
    else if (!focusNext(itemsIn(place.current), event.key)) return;
    if (event.key !== "Tab") event.preventDefault();
  };
  return html`<div class="save-menu" ref=${place} onKeyDown=${onKey}>
      <button
        id="save"
        aria-haspopup="menu"
        aria-expanded=${isOpen}
        title=${t("files to take along (s)")}
        onClick=${() => turn(!isOpen)}
      >
        ${t("Save")} <span aria-hidden="true">▾</span>
      </button>
      ${
        isOpen &&
        html`<div role="menu" aria-label=${t("Save")}>
          ${items(first, SAVES, close)}
          ${second && html`<p class="quiet" translate=${false}>${nameOf(second.info)}</p>`}
          ${
            second &&
            items(
              second,
              SAVES.filter(({ once }) => !once),
              close,
              "-2",
            )
          }
        </div>`
      }
    </div>
    ${source.LIVE && html`<${Making} />`}`;
}

/**
 * @param {Shown} shown
 * @param {Save[]} saves
 * @param {() => void} close
 * @param {string} [suffix] of ids
 */
const items = (shown, saves, close, suffix = "") =>
  saves
    .filter(({ live }) => source.LIVE || !live)
    .map((one) => ({ ...one, id: one.id + suffix }))
    .map((one) => html`<${Item} save=${one} shown=${shown} close=${close} key=${one.id} />`);

/** @param {{ save: Save, shown: Shown, close: () => void }} props */
function Item({ save, shown, close }) {
  const lacks = save.lacks?.(shown) ?? null;
  const href = lacks === null ? (save.href?.(shown) ?? null) : null;
  const text = html`${t(save.label)}<small>${lacks ?? t(save.about)}</small>`;
  if (href !== null) {
    return html`<a role="menuitem" id=${save.id} href=${href} download tabindex="-1" onClick=${close}
      >${text}</a
    >`;
  }
  const run = () => {
    if (lacks !== null) return;
    save.run?.(shown, t(save.label));
    close();
  };
  const isLacking = lacks !== null;
  return html`<button role="menuitem" id=${save.id} tabindex="-1" aria-disabled=${isLacking} onClick=${run}>
    ${text}
  </button>`;
}

/**
 * @param {HTMLElement | null} place
 * @returns {HTMLElement[]}
 */
const itemsIn = (place) => [...(place?.querySelectorAll("[role=menuitem]") ?? [])].map(
  (item) => /** @type {HTMLElement} */ (item),
);

/**
 * Which item a key goes to, -1 for none: up and down go round
 * @param {string} key
 * @param {number} at the item that has the focus, -1 for none
 * @param {number} count
 */
export function itemOf(key, at, count) {
  if (key === "ArrowDown") return (at + 1) % count;
  if (key === "ArrowUp") return at < 0 ? count - 1 : (at - 1 + count) % count;
  if (key === "Home") return 0;
  return key === "End" ? count - 1 : -1;
}

/**
 * @param {HTMLElement[]} all
 * @param {string} key
 */
function focusNext(all, key) {
  const at = all.findIndex((item) => item === document.activeElement);
  const next = all[itemOf(key, at, all.length)];
  next?.focus();
  return next !== undefined;
}
