// Whose run it is: a browser keeps its secret, and learns from what it begins what the server calls it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { isMine, makerHeader, remember } from "attnscope/studio/maker";
import { mayChange, tell } from "attnscope/studio/news";

/** @import { RunInfo, StudioInfo } from "attnscope/studio/types" */

/** @param {string} maker */
const run = (maker) => /** @type {RunInfo} */ ({ number: 1, maker });

test("a browser has one secret, of 16 random bytes", () => {
  const header = makerHeader();
  assert.match(header["attnscope-maker"], /^[0-9a-f]{32}$/);
  assert.deepEqual(makerHeader(), header);
});

test("with guests only what this browser began can be changed", () => {
  tell(/** @type {StudioInfo} */ ({ guests: true }));
  assert.equal(mayChange(run("me")), false);
  remember(run("me"));
  assert.equal(isMine(run("me")), true);
  assert.deepEqual([run("me"), run("other"), run("")].map(mayChange), [true, false, false]);
  tell(/** @type {StudioInfo} */ ({ guests: false }));
  assert.equal(mayChange(run("other")), true);
});
