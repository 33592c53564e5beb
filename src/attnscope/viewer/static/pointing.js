// What the pointer and the keys do on the picture.

import { moved, stretched } from "attnscope/cells";
import { addPin, boxBetween, removePin } from "attnscope/pins";
import { useRef, useState } from "attnscope/preact";
import { set } from "attnscope/state";
import { placeCursor } from "attnscope/studio/placing";

/** @import { State } from "attnscope/state" */
/** @import { EditWord } from "attnscope/studio/edit" */
/** @import { Box, Grid, Place, Region } from "attnscope/types" */

/** @typedef {PointerEvent & { currentTarget: HTMLElement }} Pointing */

/**
 * A move is the cursor, a click a pin, a drag a region; dragged: the region that is being drawn.
 * @param {((at: Place, shift: boolean) => void) | null} [press] gets clicks, and nothing else happens
 */
export function usePointer(press = null) {
  const from = useRef(/** @type {Place | null} */ (null));
  const [dragged, setDragged] = useState(/** @type {Region | null} */ (null));
  const end = () => {
    from.current = null;
    setDragged(null);
  };
  return {
    dragged,
    /** @param {Pointing} event */
    move(event) {
      if (press) return;
      const at = placeOf(event);
      const box = from.current && boxBetween(from.current, at);
      setDragged(box);
      set({ cursor: box ?? at });
    },
    /** @param {Pointing} event */
    down(event) {
      if (event.button !== 0) return;
      from.current = placeOf(event);
      event.currentTarget.setPointerCapture(event.pointerId);
    },
    /** @param {Pointing} event */
    up(event) {
      if (!from.current) return;
      const box = boxBetween(from.current, placeOf(event));
      if (!press) addPin(box ?? placeOf(event));
      else if (!box) press(placeOf(event), event.shiftKey);
      end();
    },
    leave() {
      end();
      set({ cursor: null });
    },
  };
}

/**
 * @param {Pointing} event
 * @returns {Place}
 */
export function placeOf(event) {
  const { top, left, height, width } = event.currentTarget.getBoundingClientRect();
  return [share(event.clientY - top, height), share(event.clientX - left, width)];
}

/**
 * @param {number} value
 * @param {number} length
 */
const share = (value, length) => Math.min(Math.max(value / length, 0), 0.9999);

/** @type {Record<string, Place>} */
const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/**
 * @param {KeyboardEvent} event
 * @param {Grid} grid
 * @param {State} state
 * @param {EditWord | null} word that is being placed
 */
export function stageKey(event, grid, state, word = null) {
  const action = keyAction(event, grid, state, word);
  if (!action) return;
  action();
  event.preventDefault();
  event.stopPropagation();
}

/**
 * @param {KeyboardEvent} event
 * @param {Grid} grid
 * @param {State} state
 * @param {EditWord | null} word
 */
function keyAction({ key, shiftKey }, grid, state, word) {
  const { cursor, pin } = state;
  const step = MOVES[key];
  if (step) return () => set({ cursor: stepped(startOf(state), step, grid, shiftKey) });
  const isEnter = key === "Enter" || key === " ";
  if (isEnter && cursor && word) return () => placeCursor(word, cursor);
  if (isEnter && cursor) return () => addPin(cursor);
  if (state.mode === "places" && (key === "Delete" || key === "Backspace")) return () => removePin(pin ?? 0);
  if (key === "Escape") return () => set({ cursor: null });
  return null;
}

/**
 * Where arrows start: at the cursor, else at a pinned place
 * @param {State} state
 * @returns {Box}
 */
function startOf({ cursor, pins, pin }) {
  const pinned = pins[pin ?? 0];
  return cursor ?? (pinned?.length === 2 ? pinned : [0.5, 0.5]);
}

/**
 * A cell on, or with Shift a region that is a cell larger
 * @param {Box} from
 * @param {Place} step
 * @param {Grid} grid
 * @param {boolean} shift
 * @returns {Box}
 */
function stepped(from, step, grid, shift) {
  if (shift) return stretched(from, step, grid);
  return moved(from.length === 4 ? [from[2], from[3]] : from, step, grid);
}
