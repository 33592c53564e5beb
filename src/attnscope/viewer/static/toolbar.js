// A group of buttons with one stop for the Tab key; arrows go on from there, wherever the buttons stand.

import { html, useLayoutEffect, useRef } from "attnscope/preact";

/** @typedef {{ left: number, top: number, width: number, height: number }} Rectangle */

/** @param {{ label: string, class?: string, children?: unknown }} props */
export function Toolbar({ label, class: name, children }) {
  const group = useRef(/** @type {HTMLElement | null} */ (null));
  useLayoutEffect(() => oneStop(group.current));
  /** @param {KeyboardEvent} event */
  const go = (event) => {
    const buttons = buttonsIn(group.current);
    const from = buttons.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement));
    const to = next(
      event.key,
      buttons.map((one) => one.getBoundingClientRect()),
      from,
    );
    if (to === null) return;
    buttons[to].focus();
    event.preventDefault();
  };
  return html`<div
    class=${name}
    role="toolbar"
    aria-label=${label}
    ref=${group}
    onKeyDown=${go}
    onFocusIn=${() => oneStop(group.current)}
  >
    ${children}
  </div>`;
}

/** @param {HTMLElement | null} group */
const buttonsIn = (group) =>
  /** @type {HTMLButtonElement[]} */ ([...(group?.querySelectorAll("button:not(:disabled)") ?? [])]);

/**
 * Tab stops at the button that has the focus, else at the chosen one, else at the first
 * @param {HTMLElement | null} group
 */
function oneStop(group) {
  const buttons = buttonsIn(group);
  const stop =
    buttons.find((one) => one === document.activeElement) ??
    buttons.find((one) => one.getAttribute("aria-pressed") === "true") ??
    buttons[0];
  for (const one of buttons) one.tabIndex = one === stop ? 0 : -1;
}

/** @type {Record<string, [right: number, down: number]>} */
const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * Where a key leads from one of these rectangles: to the nearest in its direction; left and right go on in
 * the line before or after. null: nowhere
 * @param {string} key
 * @param {Rectangle[]} all
 * @param {number} from
 */
export function next(key, all, from) {
  if (from < 0 || !all.length) return null;
  if (key === "Home") return 0;
  if (key === "End") return all.length - 1;
  const way = Object.hasOwn(WAYS, key) ? WAYS[key] : null;
  if (!way) return null;
  const distances = all.map((one) => distance(all[from], one, way));
  const least = Math.min(...distances);
  if (least < Infinity) return distances.indexOf(least);
  const along = from + way[0];
  return way[0] && along in all ? along : null;
}

/**
 * How far one rectangle is from another in a direction, aside counts double; Infinity: not that way
 * @param {Rectangle} from
 * @param {Rectangle} to
 * @param {[right: number, down: number]} way
 */
function distance(from, to, [right, down]) {
  const across = middle(to.left, to.width) - middle(from.left, from.width);
  const below = middle(to.top, to.height) - middle(from.top, from.height);
  const ahead = right * across + down * below;
  const aside = Math.abs(right ? below : across);
  const reach = right ? Math.max(from.height, to.height) / 2 : Infinity; // left and right stay in the line
  return ahead > 1 && aside < reach ? ahead + 2 * aside : Infinity;
}

/**
 * @param {number} start
 * @param {number} length
 */
const middle = (start, length) => start + length / 2;
