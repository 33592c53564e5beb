"""Maps of places and words against probabilities computed by hand in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from attnscope.errors import ParameterError, SelectionError
from attnscope.places import (
    Box,
    Statistics,
    View,
    block_maps,
    box_map,
    check_choice,
    every_place,
    token_shares,
    word_block_maps,
    word_map,
)
from attnscope.records import Grid
from attnscope.testing.made_traces import made_trace

GRID = Grid(8, 12)


@pytest.fixture(scope="module")
def trace():
    return made_trace(grids=((8, 12), (4, 6)), steps=3, heads=2, images=2)


def probabilities(trace, block, kind):
    """(step, branch, image, head, query, key), float64."""
    steps = []
    for step in range(len(trace.steps)):
        record = trace.record(block=block, kind=kind, step=step)
        scores = record.query.double() @ record.key.double().mT * record.scale
        steps.append(scores.softmax(-1).unflatten(0, (len(trace.branches), trace.images)))
    return torch.stack(steps)


def close(found, expected):
    np.testing.assert_allclose(found, expected, atol=2e-7)


@pytest.mark.parametrize("step", [None, 2])
@pytest.mark.parametrize("head", [None, 1])
def test_a_place_looks_where_its_row_says(trace, step, head):
    found = box_map(trace, View(1, head, step, "cond", 1), Box.of_place(0.3, 0.9))
    row = probabilities(trace, 1, "self")[:, 1, 1, :, 2 * 12 + 10]
    row = row.mean(0) if step is None else row[step]
    close(found, (row.mean(0) if head is None else row[head]).view(8, 12))


def test_a_box_is_the_mean_of_the_cells_it_touches(trace):
    found = box_map(trace, View(2, step=0, image=0), Box(0.26, 0.5, 0.74, 0.99))
    rows = probabilities(trace, 2, "self")[0, 1, 0].mean(0).view(4, 6, 24)
    close(found, rows[1:3, 3:6].mean((0, 1)).view(4, 6))


def test_all_blocks_are_resized_scaled_and_averaged(trace):
    place = Box.of_place(0.6, 0.1)
    fine = probabilities(trace, 1, "self")[:, 1, 0, :, 4 * 12 + 1].mean((0, 1)).view(8, 12)
    coarse = probabilities(trace, 2, "self")[:, 1, 0, :, 2 * 6].mean((0, 1)).view(1, 1, 4, 6)
    large = interpolate(coarse, size=(8, 12), mode="bilinear")[0, 0]
    found = box_map(trace, View(), place)
    close(found, (fine + large / large.sum()) / 2)
    assert found.sum() == pytest.approx(1)


def test_every_block_comes_at_its_own_size(trace):
    found = dict(block_maps(trace, View(block=1, head=0, step=1), Box.of_place(0, 0)))
    assert {block: one.shape for block, one in found.items()} == {1: (8, 12), 2: (4, 6)}
    close(found[2], probabilities(trace, 2, "self")[1, 1, 0, 0, 0].view(4, 6))


def test_token_shares_are_the_rows_of_cross_attention(trace):
    found = token_shares(trace, View(step=1, branch="uncond"), Box.of_place(0.99, 0.99))
    rows = [probabilities(trace, block, "cross")[1, 0, 0].mean(0)[-1] for block in (1, 2)]
    close(found, (rows[0] + rows[1]) / 2)
    assert found.sum() == pytest.approx(1)


def test_words_are_attnscopes_own_heat_maps(trace):
    found = word_map(trace, View(block=1, head=1, step=0), [2, 3])
    close(found, probabilities(trace, 1, "cross")[0, 1, 0, 1, :, 2:4].mean(-1).view(8, 12))
    assert [block for block, _ in word_block_maps(trace, View(), [1])] == [1, 2]


@pytest.mark.parametrize(
    ("box", "cells"),
    [
        (Box.of_place(0, 0), [0]),
        (Box.of_place(1, 1), [95]),
        (Box(0, 0, 0.25, 0.25), [0, 1, 2, 12, 13, 14]),  # ends on a line: the next cells are not touched
        (Box(0, 0, 1, 1), list(range(96))),
    ],
)
def test_cells_of_a_box(box, cells):
    assert box.cells(GRID) == cells


@pytest.mark.parametrize("sides", [(0.5, 0, 0.4, 1), (0, 0.2, 1, 0.1), (-0.1, 0, 1, 1), (0, 0, 1, 1.1)])
def test_a_box_that_is_none_is_refused(sides):
    with pytest.raises(ParameterError, match="expected shares of the picture"):
        Box(*sides)


def test_numbers_counted_by_hand():
    found = Statistics.of(np.array([[0.0, 0.5], [0.25, 0.25]], np.float32))
    assert found == Statistics(mean=0.25, minimum=0, maximum=0.5, peak=(0, 1), entropy_bits=1.5)
    assert Statistics.of(np.full((4, 4), 1 / 16, np.float32)).entropy_bits == 4


def test_a_trace_without_one_kind_says_so():
    own, cross = made_trace(kinds=("self",)), made_trace(kinds=("cross",))
    with pytest.raises(SelectionError, match="no cross-attention"):
        token_shares(own, View(), Box.of_place(0, 0))
    with pytest.raises(SelectionError, match="no self-attention"):
        box_map(cross, View(), Box.of_place(0, 0))


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        ((9, "cond", 0), "step 9: this trace has steps 0 to 2"),
        ((None, "other", 0), "uncond, cond"),
        ((0, "cond", 2), "0 to 1"),
    ],
)
def test_a_choice_that_the_trace_lacks_is_refused(trace, choice, told):
    with pytest.raises(SelectionError, match=told):
        check_choice(trace, *choice)


@pytest.mark.parametrize("singly", [(0,), (2, 1), (0, 1, 2)])
def test_single_steps_are_given_beside_the_mean_and_stay_what_they_are(singly):
    trace = made_trace(grids=((4, 6), (2, 3)), steps=3)
    found = list(every_place(trace, View(), singly=singly))
    plain = {each.block: each.maps for each in every_place(trace, View())}
    means = {each.block: each.maps for each in found if each.step is None}
    assert means.keys() == plain.keys() == {1, 2, None}
    for block, maps in means.items():
        torch.testing.assert_close(maps, plain[block], atol=1e-6, rtol=1e-5)
    for step in singly:
        alone = {each.block: each.maps for each in every_place(trace, View(step=step))}
        of_step = {each.block: each.maps for each in found if each.step == step}
        assert of_step.keys() == alone.keys()
        for block, maps in of_step.items():
            torch.testing.assert_close(maps, alone[block], atol=1e-6, rtol=1e-5)


def test_single_steps_are_on_grids_of_their_own():
    trace = made_trace(grids=((8, 8),), steps=2)
    sizes = {
        each.step: (each.grid, tuple(each.maps.shape))
        for each in every_place(trace, View(), singly=[1], longest_of_steps=4)
    }
    assert sizes == {None: ((8, 8), (64, 8, 8)), 1: ((4, 4), (16, 4, 4))}
