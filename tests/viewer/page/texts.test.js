// Every text that the page shows goes through t() and has its Japanese.

import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { test } from "node:test";
import { MODES } from "attnscope/modes";
import { JAPANESE } from "attnscope/text/ja";
import { textsOf } from "./unsaid.js";

const PYTHON = ["code.js"]; // what these write is Python
const folder = new URL(".", import.meta.resolve("attnscope/app"));
const files = (await readdir(folder)).filter((file) => file.endsWith(".js"));

/** @param {string} file */
const texts = async (file) => textsOf(await readFile(new URL(file, folder), "utf-8"));

/** @param {string} text */
const fills = (text) => [...text.matchAll(/\{\w+\}/g)].map(([fill]) => fill).sort();

test("no script shows a text without t()", async () => {
  for (const file of files) {
    if (!PYTHON.includes(file)) assert.deepEqual((await texts(file)).bare, [], file);
  }
});

test("every text has its Japanese, with the same things filled in", async () => {
  const said = (await Promise.all(files.map(texts))).flatMap((found) => found.said);
  const all = [...said, ...MODES.map((mode) => mode.label)];
  assert.ok(all.length > 150);
  assert.deepEqual(all.filter((text) => !Object.hasOwn(JAPANESE, text)), []);
  for (const text of all) assert.deepEqual(fills(JAPANESE[text]), fills(text), text);
});

test("no Japanese is left over", async () => {
  const said = (await Promise.all(files.map(texts))).flatMap((found) => found.said);
  const all = new Set([...said, ...MODES.map((mode) => mode.label)]);
  assert.deepEqual(Object.keys(JAPANESE).filter((text) => !all.has(text)), []);
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
  'html`<p translate="no">cond</p>`',
  'import { one } from "some where";',
  'const words = "a an the".split(" ");',
  'context.font = `600 ${size}px system-ui, sans-serif`;',
  'document.querySelector(".stage canvas");',
  'html`<a href=${file}>PNG</a>`',
];

test("what nobody reads is left alone", () => {
  for (const source of FINE) assert.deepEqual(textsOf(source).bare, [], source);
});

test("what is said is found in pieces, too", () => {
  const { said } = textsOf('t("one " +\n "two"); later("three"); rich("{a} four", {}); t(other);');
  assert.deepEqual(said, ["one two", "three", "{a} four"]);
});
