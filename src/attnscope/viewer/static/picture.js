// Hooks: the run's picture, and the size of the canvas that it fits on.

import { useEffect, useLayoutEffect, useState } from "attnscope/preact";
import * as source from "attnscope/source";

/** @import { State } from "attnscope/state" */
/** @import { TraceInfo } from "attnscope/types" */

/** @typedef {[height: number, width: number]} Size */

/**
 * The run's picture as a bitmap; null where there is none, undefined while it loads
 * @param {TraceInfo} info
 * @param {State} state
 */
export function usePicture(info, state) {
  const [picture, setPicture] = useState(/** @type {HTMLImageElement | null | undefined} */ (undefined));
  const address = info.images[state.image]?.height ? source.picture(info.number, state.image) : null;
  useEffect(() => {
    const image = new Image();
    image.onload = () => setPicture(image);
    image.onerror = () => setPicture(null);
    setPicture(address ? undefined : null);
    if (address) image.src = address;
    return () => {
      image.onload = null;
      image.onerror = null;
    };
  }, [address]);
  return picture;
}

/**
 * In device pixels the largest canvas of this shape that fits into the frame
 * @param {{ current: HTMLElement | null }} frame
 * @param {Size} shape
 */
export function useFittedSize(frame, [height, width]) {
  const [size, setSize] = useState(/** @type {Size | null} */ (null));
  useLayoutEffect(() => {
    const { current: element } = frame;
    if (!element) return undefined;
    const fit = () => {
      const next = largest(element, height, width);
      setSize((before) => (before && before.join() === next.join() ? before : next));
    };
    const watcher = new ResizeObserver(fit);
    watcher.observe(element);
    fit();
    return () => watcher.disconnect();
  }, [height, width]);
  return size;
}

/**
 * @param {HTMLElement} element
 * @param {number} height
 * @param {number} width
 * @returns {Size}
 */
function largest(element, height, width) {
  const scale = Math.min(element.clientHeight / height, element.clientWidth / width) * devicePixelRatio;
  return [Math.max(Math.floor(height * scale), 1), Math.max(Math.floor(width * scale), 1)];
}

/** @param {Size} size */
export const cssSize = ([height, width]) => ({
  height: `${height / devicePixelRatio}px`,
  width: `${width / devicePixelRatio}px`,
});
