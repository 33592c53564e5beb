"""Blocks, heads and steps are scored as scikit-learn scores the same maps."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import average_precision_score, roc_auc_score

import attnscope
from attnscope.errors import ParameterError, SelectionError, WordError
from attnscope.measuring.cells import cells_inside
from attnscope.measuring.pointing import pointing
from attnscope.measuring.score import Where
from attnscope.testing import made_trace, tiny_transformer


def halves(height=32, width=48):
    """Masks at the size of the picture of a made trace: the left half, and the top rows."""
    left, top = np.zeros((height, width), bool), np.zeros((height, width), bool)
    left[:, : width // 2] = True
    top[: height // 4] = True
    return {"red": left, "cat": top}


def by_scikit_learn(heat, inside):
    """Both sides of every cell: what is in the mask with its share, the rest outside."""
    truth = np.repeat([1, 0], heat.size)
    values, weights = np.tile(heat.ravel(), 2), np.concatenate([inside.ravel(), 1 - inside.ravel()])
    return (
        average_precision_score(truth, values, sample_weight=weights),
        roc_auc_score(truth, values, sample_weight=weights),
    )


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_scores_of_a_map_are_scikit_learn_s(seed, ties):
    chance = np.random.default_rng(seed)
    heat = chance.random((7, 9))
    heat = np.round(heat, 1) if ties else heat
    inside = np.clip(chance.random((7, 9)) * 2 - 0.5, 0, 1)
    found = pointing(heat, inside, 0.4)
    assert found[:2] == pytest.approx(by_scikit_learn(heat, inside))
    above = heat >= 0.4 * heat.max()
    union = above.sum() + inside.sum() - inside[above].sum()
    assert found.iou == pytest.approx(inside[above].sum() / union)


def test_a_map_that_is_its_mask_is_perfect_and_an_even_one_is_chance():
    inside = np.zeros((4, 5))
    inside[1:3, 2:] = 1
    assert pointing(inside + 0.1, inside, 0.4) == (1, 1, 1)
    even = pointing(np.full((4, 5), 0.2), inside, 0.4)
    assert even == pytest.approx((6 / 20, 0.5, 6 / 20))
    assert pointing(np.zeros((4, 5)), inside, 0.4) == pytest.approx((6 / 20, 0.5, 0))


@pytest.mark.parametrize("size", [(32, 48), (31, 47), (4, 6), (400, 600), (2, 3), (5, 7)])
def test_cells_have_the_share_of_their_area(size):
    mask = np.random.default_rng(1).random(size) > 0.6
    cells = cells_inside(mask, (4, 6), "'cat'")
    exact = mask.repeat(4, 0).repeat(6, 1).reshape(4, size[0], 6, size[1]).mean((1, 3))
    assert cells == pytest.approx(exact)


def test_everything_together_is_what_the_heat_map_gives():
    trace, masks = made_trace(steps=3), halves()
    ranking = attnscope.rank_layers(trace, masks)
    for (word, found), mask in zip(ranking.all.words, masks.values(), strict=True):
        heat = attnscope.heat_map(trace, word).array.astype(np.float64)
        assert found[:2] == pytest.approx(by_scikit_learn(heat, cells_inside(mask, (4, 6), "")), rel=1e-5)
    mean = np.mean([numbers for _, numbers in ranking.all.words], 0)
    assert tuple(ranking.all.mean) == pytest.approx(tuple(mean))
    assert ranking.chance == pytest.approx((0.5 + 0.25) / 2)


def test_blocks_heads_and_steps_are_what_their_own_maps_give():
    trace, masks = made_trace(steps=3, images=2), halves()
    ranking = attnscope.rank_layers(trace, masks, image=1)
    assert (len(ranking.blocks), len(ranking.heads), len(ranking.steps)) == (2, 6, 3)
    for scores in (ranking.blocks, ranking.heads, ranking.steps):
        for score in scores:
            block, _, head, step = score.where
            for word, found in score.words:
                heat = attnscope.heat_map(trace, word, blocks=block, heads=head, steps=step, image=1).array
                theirs = by_scikit_learn(heat.astype(np.float64), cells_inside(masks[word], (4, 6), ""))
                assert found[:2] == pytest.approx(theirs, rel=1e-4), score.where


def test_best_come_first_by_the_measure_that_is_asked():
    ranking = attnscope.rank_layers(made_trace(steps=4), halves())
    for measure in ("average_precision", "auc", "iou"):
        for scores in (ranking.by(measure).heads, ranking.by(measure).steps):
            values = [getattr(score, measure) for score in scores]
            assert values == sorted(values, reverse=True)
    assert ranking.by("average_precision") == ranking
    with pytest.raises(
        ParameterError, match="by 'precision': expected one of 'average_precision', 'auc', 'iou'"
    ):
        ranking.by("precision")


def test_a_block_that_points_is_found(monkeypatch):
    """Keys of 'cat' in one head of block 2 are those of the queries on the left."""
    trace = made_trace(grids=((4, 6), (4, 6)), steps=2)
    layer = trace.layer(2, "cross")
    for step in range(2):
        record = trace.records.get(step, layer.id)
        query = record.query.clone()
        query[:, 1] = -3.0
        query[:, 1].view(2, 4, 6, -1)[:, :, :3] = 3.0
        key = record.key.clone()
        key[:, 1], key[:, 1, 2:4] = -1.0, 1.0
        trace.records._records[step, layer.id] = type(record)(query, key, scale=record.scale)
    ranking = attnscope.rank_layers(trace, {"cat": halves()["red"]})
    assert ranking.heads[0].where == Where(2, "cross", 1)
    assert ranking.heads[0].mean == pytest.approx((1, 1, 1))
    assert ranking.blocks[0].where.block == 2
    assert str(ranking.heads[0].where) == "block 2 head 1"


def test_choices_of_blocks_and_steps():
    trace = made_trace(steps=4)
    ranking = attnscope.rank_layers(trace, halves(), block=2, steps=slice(1, 3))
    assert {score.where.block for score in ranking.blocks} == {2}
    assert {score.where.step for score in ranking.steps} == {1, 2}


def test_a_second_word_of_a_kind_is_given_as_its_span():
    trace = made_trace()
    span = trace.span("cat")
    masks = {span: halves()["cat"]}
    assert attnscope.rank_layers(trace, masks) == attnscope.rank_layers(trace, {"cat": halves()["cat"]})


def test_several_pictures_together_are_means_over_their_words():
    rankings = [
        attnscope.rank_layers(made_trace(seed=1), halves()),
        attnscope.rank_layers(made_trace(seed=2), {"cat": halves()["cat"]}),
    ]
    together = attnscope.Ranking.together(rankings)
    assert together.words == ("red", "cat", "cat")
    words = [numbers for ranking in rankings for _, numbers in ranking.all.words]
    assert tuple(together.all.mean) == pytest.approx(tuple(np.mean(words, 0)))
    assert together.chance == pytest.approx((0.5 + 0.25 + 0.25) / 3)
    assert [score.where for score in together.blocks] == [
        score.where for score in sorted(together.blocks, key=lambda score: -score.average_precision)
    ]
    with pytest.raises(ParameterError, match="no ranking to put together"):
        attnscope.Ranking.together([])


@pytest.mark.parametrize(
    ("masks", "said"),
    [
        ({}, "masks are empty: expected a mask for each word"),
        (
            {"cat": np.ones((32, 48))},
            r"mask of 'cat' is float64 of shape \(32, 48\): expected True and False",
        ),
        ({"cat": np.ones((1, 32, 48), bool)}, "expected True and False"),
        (
            {"cat": np.ones((96, 48), bool)},
            "96x48, which is not the shape of the picture: its latent grid is 4x6",
        ),
        (
            {"cat": np.zeros((32, 48), bool)},
            "mask of 'cat' covers nothing, so no map can point at it: leave it out",
        ),
        ({"cat": np.ones((32, 48), bool)}, "covers the whole picture"),
        ({"cat": np.zeros((0, 0), bool)}, "0x0"),
    ],
)
def test_what_is_no_mask_is_refused(masks, said):
    with pytest.raises(ParameterError, match=said):
        attnscope.rank_layers(made_trace(), masks)


def test_the_remedy_for_a_picture_s_mask_works():
    picture = Image.fromarray(halves()["cat"].astype(np.uint8) * 255)
    mask = np.asarray(picture.convert("L")) > 127
    assert attnscope.rank_layers(made_trace(), {"cat": mask}).words == ("cat",)


def test_what_the_trace_lacks_is_refused():
    with pytest.raises(WordError, match="no word 'dog'"):
        attnscope.rank_layers(made_trace(), {"dog": halves()["cat"]})
    with pytest.raises(SelectionError, match="holds no cross-attention"):
        attnscope.rank_layers(made_trace(kinds=("self",)), halves())
    with pytest.raises(SelectionError, match="image 4"):
        attnscope.rank_layers(made_trace(), halves(), image=4)
    with pytest.raises(ParameterError, match="threshold 3: expected a share"):
        attnscope.rank_layers(made_trace(), halves(), threshold=3)
    with pytest.raises(SelectionError, match="branch 'positive'"):
        attnscope.rank_layers(made_trace(), halves(), branch="positive")


def test_tables_and_json_hold_the_numbers():
    ranking = attnscope.rank_layers(made_trace(), halves())
    table = ranking.to_pandas()
    assert table["of"].value_counts().to_dict() == {"all": 1, "block": 2, "head": 6, "step": 2}
    best = table[table["of"] == "head"].iloc[0]
    assert (best["block"], best["head"]) == (ranking.heads[0].where.block, ranking.heads[0].where.head)
    told = json.loads(json.dumps(ranking.to_dict(), allow_nan=False))
    assert told["steps"][0]["auc"] == ranking.steps[0].auc
    assert [word["word"] for word in told["all"]["words"]] == ["red", "cat"]
    assert "best block" in repr(ranking)
    assert repr(ranking.all).startswith("<Score all: AP 0.")


def test_transformers_are_ranked_by_their_joint_attention(tmp_path):
    pipe = tiny_transformer("sd3", tmp_path)
    with attnscope.capture(pipe) as trace:
        pipe(
            "a red cat",
            height=64,
            width=96,
            num_inference_steps=2,
            generator=torch.Generator().manual_seed(0),
        )
    mask = np.zeros((64, 96), bool)
    mask[:20, 30:60] = True
    ranking = attnscope.rank_layers(trace, {"cat": mask})
    for score in ranking.heads:
        heat = attnscope.heat_map(trace, "cat", blocks=score.where.block, heads=score.where.head).array
        inside = cells_inside(mask, heat.shape, "")
        assert score.mean[:2] == pytest.approx(by_scikit_learn(heat.astype(np.float64), inside), rel=1e-4)


def test_a_trace_in_a_graph_is_ranked_alike():
    trace, expected = made_trace(), attnscope.rank_layers(made_trace(), halves())
    for record in trace.records._records.values():
        record.query.requires_grad_()
    assert attnscope.rank_layers(trace, halves()) == expected
