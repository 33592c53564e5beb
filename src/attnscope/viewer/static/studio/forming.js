// A picture while it is made: what it is by now, and where the chosen words land.

import { t } from "attnscope/lang";
import { unpack } from "attnscope/maps";
import { contextOf, mapImage, put } from "attnscope/paint";
import { cssSize, useFittedSize } from "attnscope/picture";
import { html, useEffect, useLayoutEffect, useRef, useState } from "attnscope/preact";
import { set } from "attnscope/state";
import { EXAMPLES } from "attnscope/studio/examples";
import { progressText } from "attnscope/studio/form";
import { mayChange, useStudio } from "attnscope/studio/news";
import * as studio from "attnscope/studio/source";

/** @import { State } from "attnscope/state" */
/** @import { RunInfo, StudioInfo } from "attnscope/studio/types" */
/** @import { FieldMap } from "attnscope/types" */

/** @typedef {{ step: number, picture: HTMLImageElement | null, maps: FieldMap[] }} Frame */

/**
 * The newest step that can be looked at, with its maps of words
 * @param {RunInfo} run
 */
function useFrame(run) {
  const [frame, setFrame] = useState(/** @type {Frame | null} */ (null));
  useEffect(() => setFrame(null), [run.number]);
  useEffect(() => {
    if (run.seen === null) return undefined;
    let isWanted = true;
    const step = run.seen;
    Promise.all([pictureOf(run), mapsOf(run)]).then(([picture, maps]) => {
      if (isWanted) setFrame({ step, picture, maps });
    });
    return () => {
      isWanted = false;
    };
  }, [run.number, run.seen]);
  return frame;
}

/**
 * @param {RunInfo} run
 * @returns {Promise<HTMLImageElement | null>}
 */
const pictureOf = (run) =>
  new Promise((resolve) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => resolve(null);
    if (run.has_picture) image.src = studio.seen(run);
    else resolve(null);
  });

/** @param {RunInfo} run */
async function mapsOf(run) {
  if (!run.words.length) return [];
  return unpack(await studio.seenWords(run).catch(() => new ArrayBuffer(0)));
}

/** @param {{ run: RunInfo, state: State, model: StudioInfo["model"] }} props */
export function Forming({ run, state, model }) {
  const frame = useFrame(run);
  const [word, choose] = useState(/** @type {number | null} */ (null));
  const chosen = word ?? firstThing(run.words);
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const shape = sizeOf(run, model, frame);
  const size = useFittedSize(place, shape);
  const map = frame?.maps[chosen] ?? null;
  useLayoutEffect(() => {
    if (size && canvas.current) drawFrame(contextOf(canvas.current), frame, map, state);
  });
  return html`<nav class="prompt" aria-label=${t("Words of the prompt")}>
      ${(run.words.length ? run.words : run.name.split(/\s+/)).map(
        (text, number) =>
          html`<button
            class="word"
            translate=${false}
            aria-pressed=${number === chosen}
            onClick=${() => choose(number)}
          >
            ${text}
          </button>`,
      )}
    </nav>
    <main class="one forming">
      <figure class="pane" aria-label=${t("the picture as it forms")}>
        <div class="frame" ref=${place} style=${{ "--shape": `${shape[1]} / ${shape[0]}` }}>
          <div class="stage">
            <canvas
              ref=${canvas}
              width=${size?.[1] ?? 1}
              height=${size?.[0] ?? 1}
              style=${size && cssSize(size)}
              data-step=${frame?.step}
            ></canvas>
          </div>
        </div>
        <div class="forming-progress" role="status">
          <progress value=${run.done} max=${run.total || 1} aria-label=${t("steps")}></progress>
          <span>${progressText(run)}</span>
          ${run.note && html`<small lang="en">${run.note}</small>`}
          ${
            mayChange(run) &&
            html`<button onClick=${() => studio.stop(run.number)}>${t("Stop")}</button>`
          }
        </div>
      </figure>
    </main>
    <aside aria-label=${t("Choices and numbers")}>
      <section>
        <h2>${t("The picture forms")}</h2>
        <p class="quiet">
          ${t("What the model takes the picture to be after a step, and where the chosen word lands.")}
        </p>
        ${frame && map && html`<${Share} words=${run.words} maps=${frame.maps} chosen=${chosen} />`}
      </section>
    </aside>`;
}

const SMALL = new Set("a an the and or of in on at to with under over by".split(" "));

/** @param {string[]} words */
const firstThing = (words) =>
  Math.max(
    words.findIndex((word) => !SMALL.has(word.toLowerCase())),
    0,
  );

/**
 * Height and width: of what there is to see, else as asked, else as the model's pictures are
 * @param {RunInfo} run
 * @param {StudioInfo["model"]} model
 * @param {Frame | null} frame
 * @returns {[number, number]}
 */
function sizeOf({ asked }, model, frame) {
  if (frame?.picture) return [frame.picture.naturalHeight, frame.picture.naturalWidth];
  return [asked?.height ?? model.height ?? 512, asked?.width ?? model.width ?? 512];
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Frame | null} frame
 * @param {FieldMap | null} map
 * @param {State} state
 */
function drawFrame(context, frame, map, state) {
  const { width, height } = context.canvas;
  context.fillStyle = "#888";
  context.fillRect(0, 0, width, height);
  if (frame?.picture) context.drawImage(frame.picture, 0, 0, width, height);
  if (!frame || !map) return;
  const scale = Math.min(1, 512 / Math.max(width, height));
  const style = { ...state, top: Math.max(...frame.maps.map(({ maximum }) => maximum)) };
  put(context, mapImage(map, Math.round(height * scale), Math.round(width * scale), style));
}

/**
 * What each word gets on average, as bars
 * @param {{ words: string[], maps: FieldMap[], chosen: number }} props
 */
function Share({ words, maps, chosen }) {
  const most = Math.max(...maps.map(({ mean }) => mean), 1e-9);
  return html`<table class="shares">
    <tbody>
      ${maps.map(
        ({ mean }, number) =>
          html`<tr class=${number === chosen ? "lit" : ""}>
            <th translate=${false}>${words[number]}</th>
            <td><i style=${{ width: `${(100 * mean) / most}%` }}></i></td>
            <td>${(100 * mean).toFixed(2)} %</td>
          </tr>`,
      )}
    </tbody>
  </table>`;
}

/** What a studio shows before there is anything to see */
export function Welcome() {
  return html`<main class="one welcome">
    <h2>${t("Type a prompt above, and watch its attention while the picture forms.")}</h2>
    <p>${t("For example:")}</p>
    <ul>
      ${EXAMPLES.map(
        (prompt) =>
          html`<li>
            <button lang="en" onClick=${() => set({ prompt })}>${prompt}</button>
          </li>`,
      )}
    </ul>
    ${
      useStudio()?.files &&
      html`<p class="quiet">
        ${t("Or drop a photo here to read it, or a trace that was captured elsewhere to look at it.")}
      </p>`
    }
  </main>`;
}
