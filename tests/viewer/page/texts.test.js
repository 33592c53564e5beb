// Every text that the page shows goes through t() and has its Japanese.

import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { test } from "node:test";
import { MODES } from "attnscope/modes";
import { JAPANESE } from "attnscope/text/ja";
import { textsOf } from "./unsaid.js";

/** @import { Texts } from "./unsaid.js" */

// Python and prompts; in lessons the names of tensors. They are the same in every language
const PLAIN = ["code.js", "studio/examples.js", "learn/"];
const folder = new URL(".", import.meta.resolve("attnscope/app"));
const files = (await readdir(folder, { recursive: true })).filter(
  (file) => file.endsWith(".js") && !file.startsWith("vendor") && !file.startsWith("text"),
);

/** @type {[file: string, texts: Texts][]} */
const found = await Promise.all(
  files.map(async (file) => [file, textsOf(await readFile(new URL(file, folder), "utf-8"))]),
);
const said = [...found.flatMap(([, texts]) => texts.said), ...MODES.map((mode) => mode.label)];

/** @param {string} text */
const fills = (text) => [...text.matchAll(/\{\w+\}/g)].map(([fill]) => fill).sort();

test("no script shows a text without t()", () => {
  for (const [file, texts] of found) {
    if (!PLAIN.some((plain) => file.startsWith(plain))) assert.deepEqual(texts.bare, [], file);
  }
});

test("every text has its Japanese, with the same things filled in", () => {
  assert.ok(said.length > 150);
  assert.deepEqual(
    said.filter((text) => !Object.hasOwn(JAPANESE, text)),
    [],
  );
  for (const text of said) assert.deepEqual(fills(JAPANESE[text]), fills(text), text);
});

test("no Japanese is left over", () => {
  assert.deepEqual(
    Object.keys(JAPANESE).filter((text) => !said.includes(text)),
    [],
  );
});

const BARE = [
  "html`<p>Choose a word</p>`",
  'html`<button aria-label="help">?</button>`',
  'html`<input placeholder=${"fixed"} />`',
  'html`<p>${ready ? "ready" : t("wait")}</p>`',
  "html`<p>${`step ${index}`}</p>`",
  'html`<${Select} label="Map" value=${one} />`',
  'const told = "nothing was found";',
  "const told = `${count} segments`;",
  'throw new Error("no such word");',
];

test("a text that does not go through t() is found wherever it stands", () => {
  for (const source of BARE) assert.equal(textsOf(source).bare.length, 1, source);
});

const FINE = [
  'html`<p class="quiet wide">${t("Choose a word")}</p>`',
  "html`<i class=${`word ${role}`} style=${{ width }}></i>`",
  'html`<main class=${two ? "two" : "one with-blocks"}></main>`',
  "html`<p translate=${false}>cond</p>`",
  'import { one } from "some where";',
  'const words = "a an the".split(" ");',
  "context.font = `600 ${size}px system-ui, sans-serif`;",
  'document.querySelector(".stage canvas");',
  'focusOn(".words button");',
  "html`<a href=${file}>PNG</a>`",
];

test("what nobody reads is left alone", () => {
  for (const source of FINE) assert.deepEqual(textsOf(source).bare, [], source);
});

test("what is said is found in pieces, too", () => {
  const source = 't("one " +\n "two"); later("three"); rich("{a} four", {}); t(other);';
  assert.deepEqual(textsOf(source).said, ["one two", "three", "{a} four"]);
});
