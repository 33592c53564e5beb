// The ramps of colours that numbers become.

// Stops at even distances; between them sRGB is interpolated. ember is attnscope's own (heat_colours.py);
// viridis and magma: matplotlib, S. van der Walt and N. Smith 2015, CC0; cividis: Nunez, Anderton and Renslow
// 2018, by matplotlib, CC0.
const RAMPS = {
  ember: "0d0829 3b0f70 7b1f83 b8347a e75863 fb8b5c fec077 fcfdbf",
  viridis: `
    440154 481a6c 472f7d 414487 39568c 31688e 2a788e 23888e
    1f988b 22a884 35b779 54c568 7ad151 a5db36 d2e21b fde725`,
  magma: `
    000004 0b0924 20114b 3b0f70 57157e 721f81 8c2981 a8327d
    c43c75 de4968 f1605d fa7f5e fe9f6d febf84 fddea0 fcfdbf`,
  cividis: `
    00224e 002e6c 1e3a6f 35456c 47516c 575d6d 666970 757575
    848279 948e77 a59c74 b7a96e c8b866 dbc75a eed649 fee838`,
};

/** @typedef {keyof typeof RAMPS} RampName */

export const RAMP_NAMES = /** @type {RampName[]} */ (Object.keys(RAMPS));

/** @type {Map<RampName, Uint8ClampedArray>} */
const tables = new Map();

/**
 * 256 colours, red green blue after each other
 * @param {RampName} name
 */
export function table(name) {
  const known = tables.get(name) ?? spread(RAMPS[name].trim().split(/\s+/));
  tables.set(name, known);
  return known;
}

/** @param {string[]} stops */
function spread(stops) {
  const rgb = stops.map((stop) => [0, 2, 4].map((at) => parseInt(stop.slice(at, at + 2), 16)));
  const colours = new Uint8ClampedArray(256 * 3);
  for (let i = 0; i < 256; i++) {
    const place = (i / 255) * (rgb.length - 1);
    const before = Math.min(Math.floor(place), rgb.length - 2);
    for (let channel = 0; channel < 3; channel++) {
      const way = place - before;
      const value = rgb[before][channel] * (1 - way) + rgb[before + 1][channel] * way;
      colours[3 * i + channel] = Math.round(value);
    }
  }
  return colours;
}
