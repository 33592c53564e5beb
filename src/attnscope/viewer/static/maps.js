// Maps as the server sends them, and the numbers in them: on a scale, and in words.

/** @import { FieldMap, MapHead } from "attnscope/types" */

const HALVES = halves();

function halves() {
  const table = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    const size = exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction;
    table[bits] = bits & 32768 ? -size : size;
  }
  return table;
}

/**
 * The maps in the body of encoding.pack_maps
 * @param {ArrayBuffer} buffer
 * @returns {FieldMap[]}
 */
export function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  /** @type {MapHead[]} */
  const heads = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  let at = 4 + length;
  return heads.map((head) => {
    const bits = new Uint16Array(buffer, at, head.height * head.width);
    at += bits.byteLength;
    return { ...head, values: Float32Array.from(bits, (half) => HALVES[half] * head.maximum) };
  });
}

const DECADES = 3; // of the logarithmic scale, below the brightest value

/** @typedef {"linear" | "log"} Scale */

/**
 * 0..1 of a value on the scale whose brightest value is top
 * @param {number} value
 * @param {number} top
 * @param {Scale} scale
 */
export function shade(value, top, scale) {
  if (top <= 0) return 0;
  const share = scale === "log" ? 1 + Math.log10(Math.max(value, 1e-30) / top) / DECADES : value / top;
  return Math.min(Math.max(share, 0), 1);
}

/**
 * @param {number} share
 * @param {number} top
 * @param {Scale} scale
 */
export function valueOf(share, top, scale) {
  return scale === "log" ? top * 10 ** ((share - 1) * DECADES) : share * top;
}

/**
 * Numbers for people: shares of attention in percent, three digits
 * @param {number} share
 */
export function percent(share) {
  const value = 100 * share;
  if (value === 0) return "0 %";
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return digits > 6 ? `${value.toExponential(1)} %` : `${value.toFixed(Math.min(digits, 6))} %`;
}
