// Which language the page speaks, and what it does with texts that have no translation.

import assert from "node:assert/strict";
import { test } from "node:test";
import { languageOf, speak, t } from "attnscope/lang";
import { JAPANESE } from "attnscope/text/ja";

test("the address decides, then the browser, then English", () => {
  assert.equal(languageOf("?lang=ja", ["de"]), "ja");
  assert.equal(languageOf("", ["de-DE", "ja-JP", "en"]), "ja");
  assert.equal(languageOf("?lang=xx", ["fr"]), "en");
  assert.equal(languageOf("?lang=constructor", []), "en");
});

test("values are filled in, and what has no translation stays English", () => {
  speak("ja");
  assert.equal(t("Words"), JAPANESE.Words);
  assert.equal(t("{no} such {text}", { no: 0 }), "0 such {text}");
  speak("en");
  assert.equal(t("Words"), "Words");
});
