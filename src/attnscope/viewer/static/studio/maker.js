// Who began a run: a secret of this browser, which a studio with guests asks for before it changes a run.

/** @import { RunInfo } from "attnscope/studio/types" */

const SECRET = "attnscope-maker";
const KNOWN_AS = "attnscope-known-as";
const BYTES = 16;
/** What a page may not keep is known until it is closed @type {Map<string, string>} */
const here = new Map();

/** @param {string} key */
function kept(key) {
  try {
    return localStorage.getItem(key) ?? here.get(key) ?? "";
  } catch {
    return here.get(key) ?? ""; // in a frame of another site it may be forbidden
  }
}

/** @param {string} key @param {string} value */
function keep(key, value) {
  here.set(key, value);
  try {
    localStorage.setItem(key, value);
  } catch {
    // as above
  }
}

/** What is sent with everything that begins or changes a run */
export function makerHeader() {
  if (!kept(SECRET)) {
    const random = crypto.getRandomValues(new Uint8Array(BYTES));
    keep(SECRET, [...random].map((byte) => byte.toString(16).padStart(2, "0")).join(""));
  }
  return { "attnscope-maker": kept(SECRET) };
}

/** From what this browser has begun it learns what the server calls it @param {RunInfo} begun */
export function remember(begun) {
  keep(KNOWN_AS, begun.maker);
  return begun;
}

/** @param {Pick<RunInfo, "maker">} run */
export const isMine = ({ maker }) => maker !== "" && maker === kept(KNOWN_AS);
