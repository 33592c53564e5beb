// The pointer and the keys while a word is being placed on the picture.

import { drawName, drawPin, pinColour } from "attnscope/marks";
import { put } from "attnscope/paint";
import { useRef, useState } from "attnscope/preact";
import { boxBetween } from "attnscope/pins";
import { placeOf } from "attnscope/pointing";
import { get, set } from "attnscope/state";
import { boxOfPlaces, painted, pixelsOf, placed } from "attnscope/studio/regions";

/** @import { EditWord } from "attnscope/studio/edit" */
/** @import { Edit, Mask, Region } from "attnscope/studio/types" */
/** @import { Pointing } from "attnscope/pointing" */
/** @import { Box, Fitted, Place } from "attnscope/types" */

/**
 * The word that is being placed, null for none
 * @param {EditWord[]} words
 * @param {Fitted} state
 */
export const wordToPlace = (words, { mode, placing }) =>
  mode === "edit" ? (words.find(({ key }) => key === placing) ?? null) : null;

/**
 * A drag draws a box, or paints
 * @param {EditWord | null} word
 */
export function usePlacing(word) {
  const from = useRef(/** @type {Place | null} */ (null));
  const [dragged, setDragged] = useState(/** @type {Box | null} */ (null));
  const end = () => {
    from.current = null;
    setDragged(null);
  };
  return {
    dragged,
    /** @param {Pointing} event */
    move(event) {
      if (!from.current || !word) return;
      const at = placeOf(event);
      if (get().paints) {
        stroke(word, from.current, at);
        from.current = at;
      } else setDragged(boxBetween(from.current, at));
    },
    /** @param {Pointing} event */
    down(event) {
      if (event.button !== 0 || !word) return;
      from.current = placeOf(event);
      event.currentTarget.setPointerCapture(event.pointerId);
      if (get().paints) stroke(word, from.current, from.current);
    },
    /** @param {Pointing} event */
    up(event) {
      if (from.current && word && !get().paints) {
        const box = boxBetween(from.current, placeOf(event));
        if (box) set(({ edits }) => ({ edits: placed(edits, word, { box }) }));
      }
      end();
    },
    leave: end,
  };
}

/**
 * @param {EditWord} word
 * @param {Place} from
 * @param {Place} to
 */
function stroke(word, from, to) {
  set(({ edits }) => ({ edits: placed(edits, word, { mask: painted(maskOfWord(edits, word), from, to) }) }));
}

/**
 * @param {Edit[]} edits
 * @param {EditWord} word
 */
function maskOfWord(edits, word) {
  const region = edits.find(
    (edit) => edit.edit === "region" && JSON.stringify(edit.words) === JSON.stringify(word.words),
  );
  return region?.edit === "region" ? region.mask : null;
}

/**
 * What Enter does with a region of the cursor while a word is being placed
 * @param {EditWord} word
 * @param {Box} cursor
 */
export function placeCursor(word, cursor) {
  if (cursor.length !== 4) return;
  const box = boxOfPlaces([cursor[0], cursor[1]], [cursor[2], cursor[3]]);
  set(({ edits }) => ({ edits: placed(edits, word, { box }) }));
}

/**
 * The regions of words over the picture
 * @param {CanvasRenderingContext2D} context
 * @param {Edit[]} edits
 */
export function drawRegions(context, edits) {
  const regions = /** @type {Region[]} */ (edits.filter((edit) => edit.edit === "region"));
  regions.forEach(({ words, box, mask }, number) => {
    const colour = pinColour(number);
    const name = typeof words === "string" ? words : "";
    if (box) {
      drawPin(context, box, colour, true);
      drawName(context, name, [box[0] + 0.04, (box[1] + box[3]) / 2]);
    } else if (mask) {
      drawMask(context, mask, colour);
      drawName(context, name, middleOf(mask));
    }
  });
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Mask} mask
 * @param {string} colour as #rrggbb
 */
function drawMask(context, mask, colour) {
  const image = new ImageData(mask.width, mask.height);
  const rgb = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  pixelsOf(mask).forEach((pixel, at) => {
    if (pixel) image.data.set([...rgb, 150], 4 * at);
  });
  const before = context.imageSmoothingEnabled;
  context.imageSmoothingEnabled = false;
  put(context, image);
  context.imageSmoothingEnabled = before;
}

/**
 * @param {Mask} mask
 * @returns {Place | undefined}
 */
function middleOf(mask) {
  let [count, down, across] = [0, 0, 0];
  pixelsOf(mask).forEach((pixel, at) => {
    if (!pixel) return;
    count += 1;
    down += Math.floor(at / mask.width) + 0.5;
    across += (at % mask.width) + 0.5;
  });
  return count ? [down / count / mask.height, across / count / mask.width] : undefined;
}
