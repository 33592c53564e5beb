// Files that the server takes long to make: how far each is, and its download when it is there.

import { t } from "attnscope/lang";
import { html, useEffect, useState } from "attnscope/preact";
import { languageOfError } from "attnscope/refused";
import * as source from "attnscope/source";

/** @import { Parts } from "attnscope/source" */

/**
 * ended: what came of it, null while it is under way; speaks: the language of that
 * @typedef {object} Job
 * @property {string} key
 * @property {string} label
 * @property {number} done
 * @property {number} total
 * @property {string | null} ended
 * @property {string} [speaks]
 * @property {AbortController} stopper
 */

const SHOWN_MS = 4000; // after its end

/** @type {Map<string, Job>} */
const jobs = new Map();
/** @type {Set<() => void>} */
const listeners = new Set();

/** @param {Job} job @param {Partial<Job>} change */
function tell(job, change) {
  Object.assign(job, change);
  for (const listener of listeners) listener();
}

/**
 * Makes a file and hands it to the browser's downloads; one that is under way is not begun again
 * @param {string} label what it is
 * @param {number} trace
 * @param {Parts} parts kind, and what it is of
 */
export async function make(label, trace, parts) {
  const [address, file] = ["made", "made/file"].map((what) => source.at(trace, what, parts));
  if (jobs.get(address)?.ended === null) return;
  /** @type {Job} */
  const job = { key: address, label, done: 0, total: 0, ended: null, stopper: new AbortController() };
  jobs.set(address, job);
  tell(job, {});
  try {
    await source.waited(address, (done, total) => tell(job, { done, total }), job.stopper.signal);
    download(file);
    tell(job, { ended: t("done") });
    setTimeout(() => forget(job), SHOWN_MS);
  } catch (error) {
    if (/** @type {Error} */ (error).name === "AbortError") forget(job);
    else tell(job, { ended: /** @type {Error} */ (error).message, speaks: languageOfError(error) });
  }
}

/** @param {Job} job */
function forget(job) {
  if (jobs.get(job.key) === job) jobs.delete(job.key);
  tell(job, {});
}

/** @param {string} address */
export function download(address) {
  const link = document.createElement("a");
  link.href = address;
  link.download = "";
  link.click();
}

/** What is being made, in a corner of the page */
export function Making() {
  const [, again] = useState(0);
  useEffect(() => {
    const listener = () => again((count) => count + 1);
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
    };
  }, []);
  return html`<div class="making" role="status">
    ${[...jobs.values()].map(
      (job) =>
        html`<div class="job" key=${job.key}>
          <p>
            ${job.label}${job.ended === null ? " …" : html`: <span lang=${job.speaks}>${job.ended}</span>`}
          </p>
          ${
            job.ended === null
              ? html`<progress value=${job.done} max=${job.total || 1} aria-label=${job.label} />
                  <button onClick=${() => job.stopper.abort()}>${t("Cancel")}</button>`
              : html`<button class="bare" aria-label=${t("close")} onClick=${() => forget(job)}>✕</button>`
          }
        </div>`,
    )}
  </div>`;
}
