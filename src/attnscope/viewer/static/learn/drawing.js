// A canvas as wide as its place, on which keys are hovered, clicked, and walked through with the arrow keys.
// Its unit grows with the text around it: where that has 14 px, a unit is a pixel.

import { inksOf } from "attnscope/learn/inks";
import { contextOf } from "attnscope/paint";
import { html, useLayoutEffect, useRef, useState } from "attnscope/preact";

/** @import { Focus, Inks } from "attnscope/learn/types" */

/** @typedef {(context: CanvasRenderingContext2D, width: number, inks: Inks) => void} Draw */
/** @typedef {(width: number) => number} Height */
/** @typedef {(x: number, y: number, width: number) => number | null} KeyAt */

/**
 * What is measured is in units. ground: what is drawn again only where one of `of` is another; over: what is
 * drawn over it each time; keyAt: the key under a point, null for none. Without focus it is a picture alone.
 * @typedef {object} DrawingProps
 * @property {string} label
 * @property {Height} height
 * @property {Draw} ground
 * @property {unknown[]} of
 * @property {Draw} [over]
 * @property {KeyAt} [keyAt]
 * @property {Focus} [focus]
 * @property {string} [value] what is said of the key that is looked at
 * @property {string} [name] by which tests and styles find it
 * @property {number} [most] of its width
 */

/** @param {DrawingProps} props */
export function Drawing({ label, height, ground, of, over, keyAt, focus, value, name, most }) {
  const frame = useRef(/** @type {HTMLElement | null} */ (null));
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const kept = useKept();
  const inSight = useSight(frame);
  const room = useRoom(frame);
  const width = Math.min(Math.floor(room.width / room.unit), most ?? Infinity);
  const high = width ? Math.ceil(height(width)) : 0;
  const [across, down] = [width, high].map((side) => Math.round(side * room.unit * devicePixelRatio));
  useLayoutEffect(() => {
    if (!inSight || !canvas.current || !across || !down) return;
    const [context, inks] = [contextOf(canvas.current), inksOf(canvas.current)];
    /** @param {CanvasRenderingContext2D} to */
    const scale = (to) => to.setTransform(across / width, 0, 0, down / high, 0, 0);
    const layer = kept([...of, across, down, ...Object.values(inks)], across, down, (to) => {
      scale(to);
      ground(to, width, inks);
    });
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, across, down);
    context.drawImage(layer, 0, 0);
    scale(context);
    over?.(context, width, inks);
  });
  const keys =
    keyAt && focus && slider(label, focus, (x, y) => keyAt(x / room.unit, y / room.unit, width), value);
  return html`<div class="learn-frame" ref=${frame}>
    <canvas
      ref=${canvas}
      class="learn-canvas"
      data-drawing=${name}
      width=${Math.max(across, 1)}
      height=${Math.max(down, 1)}
      style=${{ width: `${across / devicePixelRatio}px`, height: `${down / devicePixelRatio}px` }}
      ...${keys ?? picture(label)}
    ></canvas>
  </div>`;
}

/** @typedef {{ of: unknown[], layer: OffscreenCanvas }} Kept */

/** A layer that is drawn again only where what it was drawn of is another */
export function useKept() {
  const kept = useRef(/** @type {Kept | null} */ (null));
  /**
   * @param {unknown[]} of
   * @param {number} width
   * @param {number} height
   * @param {(context: CanvasRenderingContext2D) => void} draw
   */
  return (of, width, height, draw) => {
    if (!kept.current || kept.current.of.some((one, at) => one !== of[at])) {
      const layer = new OffscreenCanvas(width, height);
      draw(contextOf(layer));
      kept.current = { of, layer };
    }
    return kept.current.layer;
  };
}

const NEAR = "300px"; // from the window's edge

/**
 * Whether an element is in the window or nearly so: what nobody sees need not be drawn
 * @param {{ current: HTMLElement | null }} frame
 */
function useSight(frame) {
  const [inSight, see] = useState(false);
  useLayoutEffect(() => {
    const { current: element } = frame;
    if (!element) return undefined;
    const watcher = new IntersectionObserver((entries) => see(entries[entries.length - 1].isIntersecting), {
      rootMargin: NEAR,
      root: element.closest(".learn"),
    });
    watcher.observe(element);
    return () => watcher.disconnect();
  }, []);
  return inSight;
}

/** @param {string} label */
const picture = (label) => ({ role: "img", "aria-label": label });

/**
 * @param {string} label
 * @param {Focus} focus
 * @param {(x: number, y: number) => number | null} keyAt
 * @param {string} [value]
 */
function slider(label, focus, keyAt, value) {
  /** @param {PointerEvent & { currentTarget: HTMLElement }} event */
  const under = ({ clientX, clientY, currentTarget }) => {
    const { left, top } = currentTarget.getBoundingClientRect();
    return keyAt(clientX - left, clientY - top);
  };
  return {
    role: "slider",
    tabindex: 0,
    "aria-label": label,
    "aria-valuemin": 0,
    "aria-valuemax": focus.keys - 1,
    "aria-valuenow": focus.key,
    "aria-valuetext": value ? `${focus.name(focus.key)}: ${value}` : focus.name(focus.key),
    onPointerMove: (/** @type {any} */ event) => focus.hover(under(event)),
    onPointerLeave: () => focus.hover(null),
    onClick: (/** @type {any} */ event) => {
      const key = under(event);
      if (key !== null) focus.choose(key);
    },
    onKeyDown: (/** @type {KeyboardEvent} */ event) => {
      const next = event.ctrlKey || event.metaKey || event.altKey ? null : focus.next(event.key);
      if (next === null) return;
      focus.choose(next);
      event.preventDefault();
      event.stopPropagation();
    },
  };
}

const TEXT = 14; // px of the text where a unit is a pixel

/**
 * The width of an element in CSS pixels, 0 until it is known, and the pixels of a unit there
 * @param {{ current: HTMLElement | null }} frame
 */
export function useRoom(frame) {
  const [room, setRoom] = useState({ width: 0, unit: 1 });
  useLayoutEffect(() => {
    const { current: element } = frame;
    if (!element) return undefined;
    const measure = () => {
      const unit = parseFloat(getComputedStyle(element).fontSize) / TEXT;
      const width = element.clientWidth;
      setRoom((before) => (before.width === width && before.unit === unit ? before : { width, unit }));
    };
    const watcher = new ResizeObserver(measure);
    watcher.observe(element);
    measure();
    return () => watcher.disconnect();
  }, []);
  return room;
}
