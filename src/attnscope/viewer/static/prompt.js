// The words of the prompt, above the picture.

import { html } from "preact";
import { choosable, namesOf } from "attnscope/look";
import { percent } from "attnscope/maps";
import { set } from "attnscope/state";

// Bars say what the place under the cursor takes from each word; a click looks at the word, or lets it name segments
export function PromptBar({ info, state, shares }) {
  const image = info.images[state.image];
  const words = choosable(image, state.branch).filter((word) => state.mode !== "segments" || word.role === "text");
  const sums = shares && words.map((word) => word.tokens.reduce((sum, token) => sum + shares[token], 0));
  const most = sums && Math.max(...sums.filter((_, at) => words[at].role === "text"), 1e-9);
  const names = state.mode === "segments" ? namesOf(info, state) : null;
  const choose = (id) =>
    set((now) => {
      if (names) return { names: names.includes(id) ? names.filter((other) => other !== id) : [...names, id] };
      if (now.mode === "places") return { mode: "words", words: [id], touched: null };
      return {
        words: now.words.includes(id) ? now.words.filter((other) => other !== id) : [...now.words, id],
        touched: null,
      };
    });
  return html`<nav class="prompt" aria-label="Words of the prompt">
    ${words.length === 0 && html`<span class="quiet">${state.branch === "uncond" ? "The negative prompt's tokens are not in the trace." : "This trace knows no words: the run got embeddings."}</span>`}
    ${words.map(
      (word, at) =>
        html`<button
          key=${word.id}
          class=${`word ${word.role}`}
          data-word=${word.id}
          aria-pressed=${names ? names.includes(word.id) : state.mode === "words" && state.words.includes(word.id)}
          title=${`token ${word.tokens.length > 3 ? `${word.tokens[0]} to ${word.tokens.at(-1)}` : word.tokens.join(", ")}${sums ? `: ${percent(sums[at])} of this place's attention` : ""}`}
          onClick=${() => choose(word.id)}
          onPointerEnter=${() => state.mode === "words" && set({ touched: word.id })}
          onPointerLeave=${() => set({ touched: null })}
        >
          ${word.text}${sums && html`<i style=${{ width: `${Math.min((100 * sums[at]) / most, 100)}%` }}></i>`}
        </button>`,
    )}
  </nav>`;
}
