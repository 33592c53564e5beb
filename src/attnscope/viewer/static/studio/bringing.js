// What a person brings: a photo to be read, a trace to be looked at; dropped on the page or chosen.

import { t } from "attnscope/lang";
import { html, useEffect, useRef, useState } from "attnscope/preact";
import { set } from "attnscope/state";
import { lookAt } from "attnscope/studio/looking";
import * as studio from "attnscope/studio/source";

/** @import { RunInfo } from "attnscope/studio/types" */

/** @typedef {{ name: string, files: File[] }} Folder */
/** @typedef {{ photo: File } | { zip: File } | { folder: Folder }} Brought */

/**
 * What dropped or chosen files are: a folder or a zip is a trace, anything else a photo
 * @param {File[]} files
 * @param {Folder | null} folder
 * @returns {Brought | null}
 */
export function broughtOf(files, folder) {
  if (folder?.files.length) return { folder };
  const [file] = files;
  if (!file) return null;
  return file.name.toLowerCase().endsWith(".zip") ? { zip: file } : { photo: file };
}

/** Systems leave files such as .DS_Store in folders @param {{ name: string }} file */
const isOwn = ({ name }) => !name.startsWith(".");

/**
 * The folder of files that were chosen together, by the names that browsers give them
 * @param {File[]} files
 * @returns {Folder | null}
 */
export function folderOf(files) {
  const [top] = files[0]?.webkitRelativePath.split("/") ?? [];
  const inside = files.filter((file) => file.webkitRelativePath.split("/").length === 2);
  const own = inside.filter(isOwn);
  return top && own.length ? { name: top, files: own } : null;
}

/**
 * @param {FileSystemDirectoryEntry} entry
 * @returns {Promise<Folder>}
 */
async function folderOfEntry(entry) {
  const reader = entry.createReader();
  /** @type {FileSystemFileEntry[]} */
  const entries = [];
  for (;;) {
    /** @type {FileSystemEntry[]} */
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) break; // browsers give them a hundred at a time
    entries.push(.../** @type {FileSystemFileEntry[]} */ (some.filter((one) => one.isFile && isOwn(one))));
  }
  return { name: entry.name, files: await Promise.all(entries.map(fileOf)) };
}

/**
 * @param {FileSystemFileEntry} entry
 * @returns {Promise<File>}
 */
const fileOf = (entry) => new Promise((resolve, reject) => entry.file(resolve, reject));

/**
 * @param {DataTransfer} data
 * @returns {Promise<Brought | null>}
 */
async function dropped(data) {
  const files = [...data.files]; // gone once anything is waited for
  const entry = /** @type {FileSystemDirectoryEntry | null} */ (data.items[0]?.webkitGetAsEntry());
  return broughtOf(files, entry?.isDirectory ? await folderOfEntry(entry) : null);
}

/** @param {{ canRead: boolean }} props */
export function Bringing({ canRead }) {
  const [photo, hold] = useState(/** @type {File | null} */ (null));
  const [told, tell] = useState("");
  const [isOver, hover] = useState(false);
  /** @param {Brought | null} brought */
  const take = async (brought) => {
    tell("");
    if (brought && "photo" in brought) hold(brought.photo);
    else if (brought) await looked(() => send(brought, tell), tell);
  };
  useDrops(take, hover);
  return html`<div class="bring">
    ${isOver && html`<div class="drop-zone">${t("Drop a photo, or the folder or zip of a trace")}</div>`}
    ${canRead && html`<${Chooser} accept="image/*" text=${t("Read a photo …")} take=${take} />`}
    <${Chooser} directory text=${t("Open a trace …")} take=${take} />
    <${Chooser} accept=".zip" text=${t("… or its zip")} take=${take} />
    ${told && html`<span class="told" role="status">${told}</span>`}
    ${photo && html`<${Photo} photo=${photo} close=${() => hold(null)} />`}
  </div>`;
}

/**
 * @param {(brought: Brought | null) => void} take
 * @param {(isOver: boolean) => void} hover
 */
function useDrops(take, hover) {
  useEffect(() => {
    /** @param {DragEvent} event */
    const over = (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      hover(true);
    };
    /** @param {DragEvent} event */
    const leave = (event) => event.relatedTarget === null && hover(false);
    /** @param {DragEvent} event */
    const drop = async (event) => {
      event.preventDefault();
      hover(false);
      if (event.dataTransfer) take(await dropped(event.dataTransfer));
    };
    addEventListener("dragover", over);
    addEventListener("dragleave", leave);
    addEventListener("drop", drop);
    return () => {
      removeEventListener("dragover", over);
      removeEventListener("dragleave", leave);
      removeEventListener("drop", drop);
    };
  }, []);
}

/**
 * @param {object} props
 * @param {string} props.text
 * @param {(brought: Brought | null) => void} props.take
 * @param {string} [props.accept]
 * @param {boolean} [props.directory] whether a folder is chosen
 */
function Chooser({ text, take, accept, directory }) {
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  /** @param {{ target: HTMLInputElement }} event */
  const chosen = ({ target }) => {
    const files = [...(target.files ?? [])];
    take(broughtOf(files, directory ? folderOf(files) : null));
    target.value = "";
  };
  return html`<button type="button" onClick=${() => input.current?.click()}>${text}</button>
    <input
      ref=${input}
      type="file"
      hidden
      accept=${accept}
      webkitdirectory=${directory}
      onChange=${chosen}
    />`;
}

/**
 * Looks at what was sent, or says why not
 * @param {() => Promise<RunInfo>} sent
 * @param {(text: string) => void} tell
 */
async function looked(sent, tell) {
  try {
    const run = await sent();
    set({ run: run.number });
    lookAt(run.number);
    tell("");
  } catch (error) {
    tell(/** @type {Error} */ (error).message);
  }
}

/**
 * @param {{ zip: File } | { folder: Folder }} brought
 * @param {(text: string) => void} tell
 */
async function send(brought, tell) {
  if ("zip" in brought) {
    tell(t("sending {name} …", { name: brought.zip.name }));
    return studio.sendZip(brought.zip);
  }
  const { name, files } = brought.folder;
  return studio.sendFolder(name, files, (count) =>
    tell(t("sending {name}: {count} of {total} files", { name, count, total: files.length })),
  );
}

/** @param {{ photo: File, close: () => void }} props */
function Photo({ photo, close }) {
  const [text, type] = useState("");
  const [told, tell] = useState("");
  const [address, show] = useState("");
  useEffect(() => {
    const own = URL.createObjectURL(photo);
    show(own);
    return () => URL.revokeObjectURL(own);
  }, [photo]);
  const read = async (/** @type {Event} */ event) => {
    event.preventDefault();
    event.stopPropagation();
    tell(t("sending {name} …", { name: photo.name }));
    await looked(async () => {
      const run = await studio.read(photo, text);
      close();
      return run;
    }, tell);
  };
  return html`<div class="photo" role="dialog" aria-label=${t("Read a photo")}>
    <img src=${address} alt=${photo.name} />
    <form onSubmit=${read}>
      <label
        >${t("What is on it?")}
        <input
          type="text"
          autofocus
          autocomplete="off"
          placeholder=${t("such as: a cat on a sofa")}
          value=${text}
          onInput=${(/** @type {{ target: HTMLInputElement }} */ { target }) => type(target.value)}
      /></label>
      <button class="main" disabled=${!text.trim()}>${t("Read")}</button>
      <button type="button" onClick=${close}>${t("Cancel")}</button>
      ${told && html`<p class="told" role="status">${told}</p>`}
    </form>
  </div>`;
}
