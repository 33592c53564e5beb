"""Scenes: the same for the same seed, true captions, exact masks."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from attnscope.demo.scenes import FIRST_TRAINING_SEED, WORDS, scene, scenes
from attnscope.demo.scenes.things import THINGS

SEEDS = range(60)


@pytest.fixture(scope="module")
def drawn():
    return list(scenes(SEEDS, size_px=128))


def test_the_same_seed_gives_the_same_scene():
    one, other = scene(11), scene(11)
    assert one.caption == other.caption
    assert np.array_equal(one.image, other.image)
    assert np.array_equal(one.segments, other.segments)


def test_another_size_shows_the_same_scene_smaller():
    large, small = scene(5), scene(5, size_px=128)
    assert (large.caption, large.parts) == (small.caption, small.parts)
    reduced = large.image.reshape(128, 2, 128, 2, 3).mean((1, 3))
    assert np.abs(reduced - small.image).mean() < 12  # of 255: textures differ in their pixels
    assert (large.segments[::2, ::2] == small.segments).mean() > 0.97  # contours move by less than a pixel


def test_every_word_has_a_mask_inside_the_picture(drawn):
    for picture in drawn:
        assert picture.words
        for word in picture.words:
            assert word.mask.shape == picture.image.shape[:2]
            assert word.mask.any(), f"{word.text} of seed {picture.seed} is nowhere"


def test_words_stand_where_they_say_in_the_caption(drawn):
    for picture in drawn:
        for word in picture.words:
            assert picture.caption[word.start : word.start + len(word.text)] == word.text


def test_captions_use_only_known_words(drawn):
    spoken = {word for picture in drawn for word in picture.caption.replace(",", " ,").split()}
    assert spoken <= set(WORDS)


def test_parts_divide_the_picture_and_masks_are_made_of_them(drawn):
    for picture in drawn:
        assert picture.segments.min() >= 0
        assert picture.segments.max() < len(picture.parts)
        for word in picture.words:
            assert len(np.unique(picture.segments[word.mask])) == 1


def test_a_colour_has_the_mask_of_the_thing_after_it(drawn):
    for picture in drawn:
        for colour, thing in zip(picture.words, picture.words[1:], strict=False):
            if colour.kind == "colour":
                assert thing.kind == "thing"
                assert np.array_equal(colour.mask, thing.mask)


def test_a_thing_in_front_hides_what_is_behind(drawn):
    for picture in drawn:
        sky = picture.masks.get("sky")
        things = [mask for word, mask in picture.masks.items() if word in THINGS]
        assert sky is None or not any((sky & mask).any() for mask in things)


def test_all_things_occur_and_many_captions_name_no_colour(drawn):
    many = [scene(seed, size_px=32) for seed in range(300)]
    assert {part for picture in many for part in picture.parts} >= set(THINGS)
    colourless = [not any(word.kind == "colour" for word in picture.words) for picture in many]
    assert 0.3 < np.mean(colourless) < 0.55


def test_users_seeds_are_below_the_training_seeds():
    assert FIRST_TRAINING_SEED == 1_000_000


def test_scenes_load_neither_torch_nor_diffusers():
    code = "import sys, attnscope.demo.scenes; sys.exit(bool({'torch', 'diffusers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
