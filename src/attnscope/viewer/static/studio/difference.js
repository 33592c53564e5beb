// Where two pictures of the same size differ, pixel by pixel.

import { drawRamp } from "attnscope/colours";
import { t } from "attnscope/lang";
import { contextOf } from "attnscope/paint";
import { cssSize, useFittedSize, usePicture } from "attnscope/picture";
import { html, useLayoutEffect, useRef, useState } from "attnscope/preact";
import { table } from "attnscope/ramps";

/** @import { RampName } from "attnscope/ramps" */
/** @import { Shown } from "attnscope/scale" */

/**
 * The mean difference of the three colours at each pixel, 0 to 255
 * @param {ArrayLike<number>} one RGBA
 * @param {ArrayLike<number>} other
 */
export function differences(one, other) {
  const far = new Uint8ClampedArray(one.length / 4);
  for (let at = 0, pixel = 0; at < one.length; at += 4, pixel++) {
    const sum = [0, 1, 2].reduce((all, part) => all + Math.abs(one[at + part] - other[at + part]), 0);
    far[pixel] = sum / 3;
  }
  return far;
}

/**
 * @param {HTMLImageElement} picture
 * @param {number} height
 * @param {number} width
 */
function pixelsOf(picture, height, width) {
  const canvas = new OffscreenCanvas(width, height);
  const context = contextOf(canvas);
  context.drawImage(picture, 0, 0, width, height);
  return context.getImageData(0, 0, width, height).data;
}

/**
 * @param {{ first: Shown, second: Shown }} props
 */
export function Difference({ first, second }) {
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const [mean, tell] = useState(/** @type {number | null} */ (null));
  const [one, other] = [usePicture(first.info, first.state), usePicture(second.info, second.state)];
  const { colours } = first.state;
  const size = useFittedSize(place, first.info.size);
  const isSame = first.info.size.join() === second.info.size.join();
  useLayoutEffect(() => {
    if (!canvas.current || !size || !one || !other || !isSame) return;
    const [height, width] = first.info.size;
    const far = differences(pixelsOf(one, height, width), pixelsOf(other, height, width));
    drawDifferences(contextOf(canvas.current), far, height, width, colours);
    tell(far.reduce((sum, value) => sum + value, 0) / far.length);
  }, [one, other, size?.join(), colours]);
  return html`<figure class="pane difference" aria-label=${t("difference of the pictures")}>
    <figcaption>
      <b>${t("difference")}</b> <span>${differenceText(one, other, isSame, mean)}</span>
    </figcaption>
    <div class="frame" ref=${place} style=${{ "--shape": `${first.info.size[1]} / ${first.info.size[0]}` }}>
      <div class="stage">
        <canvas
          ref=${canvas}
          width=${size?.[1] ?? 1}
          height=${size?.[0] ?? 1}
          style=${size && cssSize(size)}
          data-mean=${mean}
        ></canvas>
      </div>
    </div>
    <${Ramp} colours=${colours} />
  </figure>`;
}

/** @param {{ colours: RampName }} props */
function Ramp({ colours }) {
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  useLayoutEffect(() => {
    if (canvas.current) drawRamp(contextOf(canvas.current), { colours, opacity: 1, through: false });
  }, [colours]);
  return html`<div class="ramp">
    <canvas ref=${canvas} width="256" height="2"></canvas>
    <div class="marks"><span>0</span><span>${t("255 levels, mean of the colours")}</span></div>
  </div>`;
}

/**
 * @param {HTMLImageElement | null | undefined} one
 * @param {HTMLImageElement | null | undefined} other
 * @param {boolean} isSame
 * @param {number | null} mean
 */
function differenceText(one, other, isSame, mean) {
  if (one === null || other === null) return t("a picture is missing");
  if (!isSame) return t("the pictures have different sizes");
  return mean === null ? "" : t("{mean} levels on average", { mean: mean.toFixed(1) });
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Uint8ClampedArray} far
 * @param {number} height
 * @param {number} width
 * @param {RampName} colours
 */
function drawDifferences(context, far, height, width, colours) {
  const ramp = table(colours);
  const image = new ImageData(width, height);
  far.forEach((value, at) => {
    image.data.set([ramp[3 * value], ramp[3 * value + 1], ramp[3 * value + 2], 255], 4 * at);
  });
  const layer = new OffscreenCanvas(width, height);
  contextOf(layer).putImageData(image, 0, 0);
  context.drawImage(layer, 0, 0, context.canvas.width, context.canvas.height);
}
