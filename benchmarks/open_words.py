"""How well words that are not in the prompt point: held-out scenes of the demo world.

Each scene, with noise at timestep 300, goes through the U-Net once with its caption and once with another prompt. The
words of the caption are then read from the caption's pass as usual (closed), and from either pass as open words: each
by itself, with its article, or in the caption as a text that the pass never saw.

    python benchmarks/open_words.py [--scenes 200] [--prompt "a picture"]
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict

from diffusers import StableDiffusionPipeline

import attnscope
from attnscope.demo.scenes import Scene, Word, scene
from attnscope.demo.scoring import heat_iou, pointing_hit
from attnscope.demo.word_scores import HEAT_THRESHOLD
from attnscope.photos.latents import noised, photo_latent, photo_tensor
from attnscope.photos.one_pass import photo_trace
from attnscope.segmentation.photo import TIMESTEP
from attnscope.trace.trace import Trace

KINDS = ("thing", "colour", "stuff")


def one_pass(pipe: StableDiffusionPipeline, picture: Scene, prompt: str) -> Trace:
    pixels = photo_tensor(picture.pil_image, picture.segments.shape)
    latent = noised(pipe, photo_latent(pipe, pixels), TIMESTEP, picture.seed)
    return photo_trace(pipe, latent, prompt, timestep=TIMESTEP, kind="cross", open_words=True)


def with_article(text: str) -> str:
    return f"{'an' if text[0] in 'aeiou' else 'a'} {text}"


def readings(pipe: StableDiffusionPipeline, picture: Scene, prompt: str):
    """(which reading, word, its map) of every word of a scene."""
    passes = {
        "its caption": one_pass(pipe, picture, picture.caption),
        repr(prompt): one_pass(pipe, picture, prompt),
    }
    seen: dict[str, int] = defaultdict(int)
    for word in picture.words:
        at = seen[word.text]
        seen[word.text] += 1
        as_usual = attnscope.heat_map(passes["its caption"], word.text, occurrence=at)
        yield ("its caption", "closed, of 77 tokens"), word, as_usual
        for name, trace in passes.items():
            ask = {"pipe": pipe, "open_words": True}
            yield (name, "open, by itself"), word, attnscope.heat_map(trace, word.text, **ask)
            in_article = attnscope.heat_map(trace, word.text, context=with_article(word.text), **ask)
            yield (name, "open, after an article"), word, in_article
            in_caption = attnscope.heat_map(trace, word.text, context=picture.caption, occurrence=at, **ask)
            yield (name, "open, in its caption"), word, in_caption


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--prompt", default="a picture")
    given = parser.parse_args()
    pipe = attnscope.load_pipeline("demo")
    hits: dict[tuple, list[float]] = defaultdict(list)
    overlaps: dict[tuple, list[float]] = defaultdict(list)
    for seed in range(given.scenes):
        for how, word, heat in readings(pipe, scene(seed), given.prompt):
            _note(hits, overlaps, how, word, heat)
    print("| the pass read | words | " + " | ".join(f"pointing, {kind}" for kind in KINDS), end=" | ")
    print(" | ".join(f"IoU, {kind}" for kind in KINDS) + " |")
    print("|---" * (2 + 2 * len(KINDS)) + "|")
    for how in dict.fromkeys(key[:2] for key in hits):
        cells = [
            f"{statistics.mean(scores[(*how, kind)]):.3f}" for scores in (hits, overlaps) for kind in KINDS
        ]
        print("| " + " | ".join((*how, *cells)) + " |")
    print({kind: len(hits["its caption", "closed, of 77 tokens", kind]) for kind in KINDS})


def _note(hits: dict, overlaps: dict, how: tuple[str, str], word: Word, heat: attnscope.HeatMap) -> None:
    kind = word.kind
    hits[(*how, kind)].append(pointing_hit(heat.array, word.mask))
    overlaps[(*how, kind)].append(heat_iou(heat.array, word.mask, HEAT_THRESHOLD))


if __name__ == "__main__":
    main()
