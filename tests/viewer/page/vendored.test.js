// The vendored library is its makers' file.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

test("htm with Preact is as in the package htm", async () => {
  const vendored = new URL(import.meta.resolve("attnscope/preact"));
  const published = new URL(import.meta.resolve("htm/preact/standalone"));
  assert.deepEqual(await readFile(vendored), await readFile(new URL("standalone.module.js", published)));
});
