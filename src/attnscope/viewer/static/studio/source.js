// What the page asks of the studio.

import { fetched } from "attnscope/source";
import { makerHeader, remember } from "attnscope/studio/maker";

/** @import { RunAsked, RunInfo, StudioInfo } from "attnscope/studio/types" */

const JSON_BODY = { "content-type": "application/json" };

/**
 * Something that only its maker may do, or becomes the maker of
 * @param {string} path
 * @param {RequestInit} options
 */
const asked = (path, { headers, ...options }) =>
  fetched(path, { ...options, headers: { ...headers, ...makerHeader() } });

/**
 * A run that this browser begins
 * @param {string} path
 * @param {RequestInit} [options]
 * @returns {Promise<RunInfo>}
 */
async function begun(path, options) {
  const answer = await asked(path, { method: "POST", ...options });
  return remember(await answer.json());
}

/**
 * All that changes by itself, once it is something else than was seen
 * @param {number} seen
 * @returns {Promise<StudioInfo>}
 */
export const news = async (seen) => (await fetched(`api/studio?seen=${seen}`)).json();

/** @param {RunAsked} picture */
export const make = (picture) => begun("api/runs", { headers: JSON_BODY, body: JSON.stringify(picture) });

/**
 * @param {Blob} photo
 * @param {string} text what is on it
 */
export const read = (photo, text) => begun(`api/photos?${new URLSearchParams({ text })}`, { body: photo });

/** @param {number} run */
export const stop = (run) => asked(`api/runs/${run}/stop`, { method: "POST" });

/** @param {number} run @param {string} name */
export const rename = (run, name) =>
  asked(`api/runs/${run}`, { method: "PATCH", headers: JSON_BODY, body: JSON.stringify({ name }) });

/** @param {number} run */
export const remove = (run) => asked(`api/runs/${run}`, { method: "DELETE" });

/** @param {number} run @returns {Promise<string>} */
export const code = async (run) => (await (await fetched(`api/runs/${run}/code`)).json()).python;

/**
 * Addresses of pictures: small, and of the step that can be looked at
 * @param {RunInfo} run
 */
export const card = ({ number, state, seen }) => `api/runs/${number}/card?${state}${seen ?? ""}`;

/** @param {RunInfo} run */
export const seen = ({ number, seen: step }) => `api/runs/${number}/seen?${step}`;

/**
 * Maps of the words in that step
 * @param {RunInfo} run
 */
export const seenWords = async ({ number, seen: step }) =>
  (await fetched(`api/runs/${number}/seen-words?${step}`)).arrayBuffer();

/** @param {Blob & { name: string }} zip */
export const sendZip = (zip) =>
  begun(`api/zips?${new URLSearchParams({ name: zip.name.replace(/\.zip$/i, "") })}`, { body: zip });

/**
 * @param {string} name
 * @param {File[]} files
 * @param {(sent: number) => void} told
 */
export async function sendFolder(name, files, told) {
  const { key } = await (await fetched("api/uploads", { method: "POST" })).json();
  for (const [sent, file] of files.entries()) {
    told(sent);
    await fetched(`api/uploads/${key}/${encodeURIComponent(file.name)}`, { method: "PUT", body: file });
  }
  return begun(`api/uploads/${key}/done?${new URLSearchParams({ name })}`);
}
