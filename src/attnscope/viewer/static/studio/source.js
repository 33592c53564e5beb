// What the page asks of the studio.

import { fetched } from "attnscope/source";

/** @import { RunAsked, RunInfo, StudioInfo } from "attnscope/studio/types" */

const JSON_BODY = { "content-type": "application/json" };

/**
 * All that changes by itself, once it is something else than was seen
 * @param {number} seen
 * @returns {Promise<StudioInfo>}
 */
export const news = async (seen) => (await fetched(`api/studio?seen=${seen}`)).json();

/**
 * @param {RunAsked} asked
 * @returns {Promise<RunInfo>}
 */
export async function make(asked) {
  const body = JSON.stringify(asked);
  return (await fetched("api/runs", { method: "POST", headers: JSON_BODY, body })).json();
}

/**
 * @param {Blob} photo
 * @param {string} text what is on it
 * @returns {Promise<RunInfo>}
 */
export async function read(photo, text) {
  const address = `api/photos?${new URLSearchParams({ text })}`;
  return (await fetched(address, { method: "POST", body: photo })).json();
}

/** @param {number} run */
export const stop = (run) => fetched(`api/runs/${run}/stop`, { method: "POST" });

/** @param {number} run @param {string} name */
export const rename = (run, name) =>
  fetched(`api/runs/${run}`, { method: "PATCH", headers: JSON_BODY, body: JSON.stringify({ name }) });

/** @param {number} run */
export const remove = (run) => fetched(`api/runs/${run}`, { method: "DELETE" });

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

/**
 * @param {Blob & { name: string }} zip
 * @returns {Promise<RunInfo>}
 */
export async function sendZip(zip) {
  const address = `api/zips?${new URLSearchParams({ name: zip.name.replace(/\.zip$/i, "") })}`;
  return (await fetched(address, { method: "POST", body: zip })).json();
}

/**
 * @param {string} name
 * @param {File[]} files
 * @param {(sent: number) => void} told
 * @returns {Promise<RunInfo>}
 */
export async function sendFolder(name, files, told) {
  const { key } = await (await fetched("api/uploads", { method: "POST" })).json();
  for (const [sent, file] of files.entries()) {
    told(sent);
    await fetched(`api/uploads/${key}/${encodeURIComponent(file.name)}`, { method: "PUT", body: file });
  }
  const address = `api/uploads/${key}/done?${new URLSearchParams({ name })}`;
  return (await fetched(address, { method: "POST" })).json();
}
