// Files that the page makes itself.

import { contextOf } from "attnscope/paint";

/**
 * Hands a file to the browser's downloads.
 * @param {Blob} blob
 * @param {string} name
 */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** @param {HTMLCanvasElement[]} canvases */
export function sideBySide(canvases) {
  const all = document.createElement("canvas");
  all.width = canvases.reduce((width, one) => width + one.width, 0);
  all.height = Math.max(...canvases.map((one) => one.height));
  let left = 0;
  for (const one of canvases) {
    contextOf(all).drawImage(one, left, 0);
    left += one.width;
  }
  return all;
}
