// Numbers of a computation: as the server sends them, and as people read them.

/** @import { Computed, ComputationInfo, KeysInfo, Numbers } from "attnscope/learn/types" */

/**
 * The arrays in the body of encoding.pack_numbers
 * @template Head
 * @param {ArrayBuffer} buffer
 * @returns {Numbers<Head>}
 */
export function unpackNumbers(buffer) {
  const size = new DataView(buffer).getUint32(0, true);
  /** @type {{ head: Head, arrays: [string, number[]][] }} */
  const told = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, size)));
  let at = 4 + size;
  const arrays = told.arrays.map(([name, shape]) => {
    const length = shape.reduce((product, side) => product * side, 1);
    const values = new Float32Array(buffer, at, length);
    at += values.byteLength;
    return [name, values];
  });
  return { head: told.head, arrays: Object.fromEntries(arrays) };
}

/**
 * The computation of a place with K and V of its head. keys: null where there are none, as `lacks` says
 * @param {Numbers<ComputationInfo>} row
 * @param {Numbers<KeysInfo> | null} keys
 * @param {string} lacks
 * @returns {Computed}
 */
export function computedOf({ head, arrays }, keys, lacks) {
  const { query, scores, scaled, exponentials, probability } = arrays;
  return {
    info: head,
    query,
    scores,
    added: arrays.added ?? null,
    scaled,
    exponentials,
    probability,
    used: arrays.used ?? probability,
    output: arrays.output ?? null,
    adds: arrays.adds ?? null,
    key: keys?.arrays.key ?? null,
    value: keys?.arrays.value ?? null,
    lacks,
  };
}

const RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/** @param {number} power */
const raised = (power) =>
  `${power < 0 ? "⁻" : ""}${[...String(Math.abs(power))].map((digit) => RAISED[Number(digit)]).join("")}`;

/**
 * Four digits that count, with a minus that is as wide as a digit
 * @param {number} value
 * @param {number} digits
 */
export function number(value, digits = 4) {
  if (value === -Infinity) return "−∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const power = Math.floor(Math.log10(size));
  const sign = value < 0 ? "−" : "";
  if (power >= -4 && power <= 5) return `${sign}${size.toFixed(Math.max(digits - 1 - power, 0))}`;
  const [mantissa, exponent] = size.toExponential(digits - 2).split("e");
  return `${sign}${mantissa} × 10${raised(Number(exponent))}`;
}

/** A number that stands in a product or a sum. @param {number} value */
export const term = (value) => (value < 0 ? `(${number(value)})` : number(value));

/** @type {WeakMap<Float32Array, number>} */
const reaches = new WeakMap();

/**
 * The largest size of any of these numbers; those that are infinite don't count
 * @param {Float32Array} values
 */
export function reach(values) {
  const known = reaches.get(values);
  if (known !== undefined) return known;
  let most = 0;
  for (let at = 0; at < values.length; at++) {
    const size = Math.abs(values[at]);
    if (size > most && size < Infinity) most = size;
  }
  reaches.set(values, most);
  return most;
}

/**
 * The least and the largest finite number
 * @param {ArrayLike<number>} values
 * @returns {[number, number]}
 */
export function range(values) {
  let [low, high] = [Infinity, -Infinity];
  for (let at = 0; at < values.length; at++) {
    const value = values[at];
    if (value < low && value > -Infinity) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : [0, 0];
}

/**
 * One key's row of K or V
 * @param {Float32Array} rows
 * @param {number} key
 * @param {number} dim
 */
export const rowOf = (rows, key, dim) => rows.subarray(key * dim, (key + 1) * dim);

/**
 * Each number of one times that of the other
 * @param {Float32Array} one
 * @param {ArrayLike<number>} other
 */
export const products = (one, other) => one.map((value, at) => value * other[at]);

/**
 * @param {Float32Array} values
 * @param {number} factor
 */
export const times = (values, factor) => values.map((value) => value * factor);
