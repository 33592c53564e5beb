// The numbers beside the picture: of a place, of words.

import { html } from "preact";
import { boxOf, choosable, gridOf, placeText, wordsOf } from "attnscope/look";
import { percent } from "attnscope/maps";
import { PIN_COLOURS } from "attnscope/paint";
import { removePin } from "attnscope/stage";
import { set } from "attnscope/state";

export function Numbers({ map }) {
  if (!map) return null;
  const even = 1 / (map.height * map.width);
  return html`<dl class="numbers">
    <dt>brightest</dt>
    <dd data-number="maximum">${percent(map.maximum)} <small>at row ${map.peak[0]}, column ${map.peak[1]}</small></dd>
    <dt>mean</dt>
    <dd data-number="mean">${percent(map.mean)}</dd>
    <dt>entropy</dt>
    <dd data-number="entropy">
      ${map.entropy_bits.toFixed(2)} bits <small>of ${(-Math.log2(even)).toFixed(2)} when even</small>
    </dd>
    <dt>size</dt>
    <dd>${map.height} × ${map.width} cells</dd>
  </dl>`;
}

export function PlacesPanel({ info, state, look }) {
  const box = boxOf(state);
  if (!box)
    return html`<section>
      <h2>Where a place looks</h2>
      <p class="quiet">Move over the picture. Click to pin a place, drag to pin a region.</p>
    </section>`;
  const words = choosable(info.images[state.image], state.branch);
  const shares = look.shares.value;
  const ranked =
    shares &&
    words
      .map((word) => ({ ...word, share: word.tokens.reduce((sum, token) => sum + shares[token], 0) }))
      .sort((one, other) => other.share - one.share);
  return html`<section>
    <h2>Where ${box.length === 2 ? "this place" : "this region"} looks</h2>
    <p class="quiet">${placeText(box, gridOf(info, state))}${state.cursor ? "" : " (pinned)"}</p>
    <${Numbers} map=${look.shown.value} />
    <${Pins} info=${info} state=${state} />
    ${
      ranked &&
      html`<h3>Words it reads</h3>
        <table class="shares">
          <tbody>
            ${ranked.slice(0, 9).map(
              (word) =>
                html`<tr key=${word.id} class=${word.role}>
                  <th>${word.text}</th>
                  <td><i style=${{ width: `${(100 * word.share) / ranked[0].share}%` }}></i></td>
                  <td>${percent(word.share)}</td>
                </tr>`,
            )}
          </tbody>
        </table>`
    }
  </section>`;
}

function Pins({ info, state }) {
  if (!state.pins.length) return null;
  return html`<ul class="pins" aria-label="Pins">
    ${state.pins.map(
      (pin, number) =>
        html`<li key=${pin.join()}>
          <button aria-pressed=${number === (state.pin ?? 0)} onClick=${() => set({ pin: number })}>
            <b style=${{ background: PIN_COLOURS[number % PIN_COLOURS.length] }}></b
            >${placeText(pin, gridOf(info, state))}
          </button>
          <button class="bare" aria-label=${`remove pin ${number + 1}`} onClick=${() => removePin(number)}>✕</button>
        </li>`,
    )}
  </ul>`;
}

export function WordsPanel({ info, state, look }) {
  const words = choosable(info.images[state.image], state.branch).filter((word) => wordsOf(state).includes(word.id));
  if (!words.length)
    return html`<section>
      <h2>Where a word landed</h2>
      <p class="quiet">Choose a word above the picture; several are shown together.</p>
    </section>`;
  return html`<section>
    <h2>Where “${words.map((word) => word.text).join(" + ")}” landed</h2>
    <p class="quiet">
      ${`Share of attention that one token of it gets, ${state.block === null ? "mean over all blocks" : `block ${state.block}`}.`}
    </p>
    <${Numbers} map=${look.shown.value} />
  </section>`;
}
