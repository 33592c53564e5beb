// Pins: the places and parts of the picture that are kept.

import { PIN_COLOURS } from "attnscope/marks";
import { set } from "attnscope/state";

/** @import { State } from "attnscope/state" */
/** @import { Box, Place, Region } from "attnscope/types" */

const DRAG = 0.02; // of the picture: less is a click

/**
 * The region between two places, null where they are too near
 * @param {Place} from
 * @param {Place} to
 * @returns {Region | null}
 */
export function boxBetween([y, x], [toY, toX]) {
  if (Math.abs(toY - y) < DRAG && Math.abs(toX - x) < DRAG) return null;
  return [Math.min(y, toY), Math.min(x, toX), Math.max(y, toY), Math.max(x, toX)];
}

/** @param {Box} pin */
export const addPin = (pin) => set((state) => withPin(state, pin));

/** @param {number} number */
export const removePin = (number) => set((state) => withoutPin(state, number));

/**
 * One more pin, which is looked at; the oldest goes where there is no colour left
 * @param {State} state
 * @param {Box} pin
 */
export function withPin(state, pin) {
  if (state.mode !== "places") return {};
  const others = state.pins.filter((one) => one.join() !== pin.join());
  const pins = [...others, pin].slice(-PIN_COLOURS.length);
  return { pins, pin: pins.length - 1 };
}

/**
 * @param {State} state
 * @param {number} number
 */
export function withoutPin(state, number) {
  const pins = state.pins.filter((_, other) => other !== number);
  return { pins, pin: pins.length ? Math.min(state.pin ?? 0, pins.length - 1) : null };
}
