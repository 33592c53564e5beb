// Maps as the server sends them, and the colours that numbers become.

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

// The body of encoding.pack_maps: [{number, height, width, values, mean, minimum, maximum, peak, entropy_bits}]
export function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const heads = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  let at = 4 + length;
  return heads.map((head) => {
    const bits = new Uint16Array(buffer, at, head.height * head.width);
    at += bits.byteLength;
    return { ...head, values: Float32Array.from(bits, (half) => HALVES[half] * head.maximum) };
  });
}

// Stops at even distances; between them sRGB is interpolated. ember is attnscope's own ramp (heat_colours.py); viridis and
// magma: matplotlib, S. van der Walt and N. Smith 2015, CC0; cividis: Nunez, Anderton and Renslow 2018, by matplotlib, CC0.
export const RAMPS = {
  ember: ["0d0829", "3b0f70", "7b1f83", "b8347a", "e75863", "fb8b5c", "fec077", "fcfdbf"],
  viridis: [
    "440154",
    "481a6c",
    "472f7d",
    "414487",
    "39568c",
    "31688e",
    "2a788e",
    "23888e",
    "1f988b",
    "22a884",
    "35b779",
    "54c568",
    "7ad151",
    "a5db36",
    "d2e21b",
    "fde725",
  ],
  magma: [
    "000004",
    "0b0924",
    "20114b",
    "3b0f70",
    "57157e",
    "721f81",
    "8c2981",
    "a8327d",
    "c43c75",
    "de4968",
    "f1605d",
    "fa7f5e",
    "fe9f6d",
    "febf84",
    "fddea0",
    "fcfdbf",
  ],
  cividis: [
    "00224e",
    "002e6c",
    "1e3a6f",
    "35456c",
    "47516c",
    "575d6d",
    "666970",
    "757575",
    "848279",
    "948e77",
    "a59c74",
    "b7a96e",
    "c8b866",
    "dbc75a",
    "eed649",
    "fee838",
  ],
};

const tables = new Map();

// 256 colours, red green blue after each other
export function table(name) {
  if (!tables.has(name)) tables.set(name, spread(RAMPS[name] ?? RAMPS.ember));
  return tables.get(name);
}

function spread(stops) {
  const rgb = stops.map((stop) => [0, 2, 4].map((at) => parseInt(stop.slice(at, at + 2), 16)));
  const colours = new Uint8ClampedArray(256 * 3);
  for (let i = 0; i < 256; i++) {
    const place = (i / 255) * (rgb.length - 1);
    const before = Math.min(Math.floor(place), rgb.length - 2);
    for (let channel = 0; channel < 3; channel++) {
      const way = place - before;
      colours[3 * i + channel] = Math.round(rgb[before][channel] * (1 - way) + rgb[before + 1][channel] * way);
    }
  }
  return colours;
}

const DECADES = 3; // of the logarithmic scale, below the brightest value

// 0..1 of a value on the scale whose brightest value is top
export function shade(value, top, scale) {
  if (top <= 0) return 0;
  const share = scale === "log" ? 1 + Math.log10(Math.max(value, 1e-30) / top) / DECADES : value / top;
  return Math.min(Math.max(share, 0), 1);
}

export function valueOf(share, top, scale) {
  return scale === "log" ? top * 10 ** ((share - 1) * DECADES) : share * top;
}

// Numbers for people: shares of attention in percent, three digits
export function percent(share) {
  const value = 100 * share;
  if (value === 0) return "0 %";
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return digits > 6 ? `${value.toExponential(1)} %` : `${value.toFixed(Math.min(digits, 6))} %`;
}
