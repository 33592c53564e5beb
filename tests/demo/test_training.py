"""Training in miniature: it learns in a few steps, goes on from a checkpoint, writes whole folders."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from rich.console import Console

from attnscope.demo import card_filling, latent_pool, train, unet_training, vae_training
from attnscope.demo.architecture import LATENT_PX, untrained_pipeline
from attnscope.demo.attention_losses import SelfRows, Tape, cross_loss, self_loss, taping
from attnscope.demo.checkpoint import PhaseRecord
from attnscope.demo.clock import WorkClock, learning_rate
from attnscope.demo.phases import PHASES
from attnscope.demo.scenes import FIRST_TRAINING_SEED
from attnscope.demo.scenes.palette import COLOURS
from attnscope.demo.train import Settings, Training
from attnscope.demo.truth import draw_truths
from attnscope.errors import ParameterError

pytestmark = pytest.mark.slow

SIZES_PX = {"vae": 128, "small": 64, "full": 64, "decoder": 128}
TINY = [replace(phase, size_px=SIZES_PX[phase.name], batch=2, scenes=4, uses=1) for phase in PHASES]


@pytest.fixture(autouse=True)
def fresh_random_numbers():
    torch.manual_seed(0)


def settings(folder: Path, minutes: float) -> Settings:
    return Settings(minutes=minutes, checkpoint=folder / "checkpoint.pt", out=folder / "model", workers=0)


def test_training_writes_a_model_that_plain_diffusers_loads(tmp_path):
    Training(settings(tmp_path, minutes=0.01), TINY).run(Console(quiet=True))
    pipe = StableDiffusionPipeline.from_pretrained(tmp_path / "model", safety_checker=None)
    assert pipe.text_encoder.dtype == torch.float32
    record = json.loads((tmp_path / "model" / "training.json").read_text())
    assert [phase["done"] for phase in record["phases"].values()] == [True] * 4
    assert {path.name for path in tmp_path.iterdir()} == {"model", "checkpoint.pt"}


@pytest.mark.thorough
def test_training_goes_on_where_the_checkpoint_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "CHECKPOINT_SECONDS", 0)
    first = Training(settings(tmp_path, minutes=1), TINY)
    monkeypatch.setattr(first, "_note", _interrupt)
    monkeypatch.setattr(train, "LOG_STEPS", 2)
    with pytest.raises(KeyboardInterrupt):
        first.run(Console(quiet=True))
    second = Training(settings(tmp_path, minutes=0.01), TINY)
    assert second.record.phases["vae"].steps == 1  # the second step was not saved
    assert second.state["phase"] == "vae"
    for name, weight in first.pipe.unet.state_dict().items():
        assert torch.equal(weight, second.pipe.unet.state_dict()[name])
    second.run(Console(quiet=True))
    assert second.record.phases["decoder"].done


@pytest.mark.thorough
def test_writing_the_model_during_a_phase_leaves_its_weights_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "CHECKPOINT_SECONDS", 0)
    training, export, compared = Training(settings(tmp_path, minutes=0.01), TINY), Training.export, []

    def checked(self):
        parts = [self.pipe.vae, self.pipe.unet]
        before = [weight.clone() for part in parts for weight in part.state_dict().values()]
        export(self)
        after = [weight for part in parts for weight in part.state_dict().values()]
        compared.append(all(map(torch.equal, before, after)))

    monkeypatch.setattr(Training, "export", checked)
    training.run(Console(quiet=True))
    assert len(compared) > 2 * len(TINY)  # during phases as well as between them
    assert all(compared)


def _interrupt(*_):
    raise KeyboardInterrupt


@pytest.mark.thorough
def test_training_on_from_a_model_keeps_its_autoencoder_and_history_and_draws_new_scenes(tmp_path):
    first = Training(settings(tmp_path, minutes=0.01), TINY)
    first.run(Console(quiet=True))
    again = replace(settings(tmp_path, 0.01), start=tmp_path / "model", checkpoint=tmp_path / "other.pt")
    second = Training(again, TINY)
    second.run(Console(quiet=True))
    assert second.record.phases["vae"].done
    assert not second.record.phases["vae"].steps
    assert second.record.phases["small"].scenes_before == first.record.phases["small"].scenes_drawn > 0
    written = json.loads((tmp_path / "model" / "training.json").read_text())
    assert not any(str(tmp_path) in path.read_text() for path in (tmp_path / "model").rglob("*.json"))
    (earlier,) = written["earlier"]
    assert earlier["phases"]["small"]["steps"] == first.record.phases["small"].steps


def test_the_phases_of_a_training_share_all_of_its_time(tmp_path):
    fresh = Training(settings(tmp_path, minutes=1), TINY)
    assert sum(map(fresh._share, TINY)) == pytest.approx(1)
    fresh.record.phases["vae"] = PhaseRecord(done=True)
    assert sum(map(fresh._share, TINY[1:])) == pytest.approx(1)


def speeds_of(monkeypatch, seconds):
    """Steps take these seconds, or raise the error that stands there, in the order in which they are tried."""
    left = list(seconds)

    def seconds_of_a_step(loss, trainee):
        loss().backward()
        one = left.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    monkeypatch.setattr(card_filling, "_seconds_of_a_step", seconds_of_a_step)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("seconds", "batch"),
    [
        ([1.0, 1.0, 1.0, 8.0], 8),  # twice as many samples a second, and again, then fewer
        ([1.0, 1.9], 2),  # 5 % more is not worth it
        ([1.0, 1.0, torch.cuda.OutOfMemoryError("full")], 4),
        ([1.0] * 9, 16),  # as many as are allowed
    ],
)
@pytest.mark.parametrize("phase", [TINY[1], TINY[3]], ids=["small", "decoder"])
def test_a_batch_is_doubled_while_that_pays_and_nothing_else_changes(monkeypatch, seconds, batch, phase):
    speeds_of(monkeypatch, seconds)
    pipe = untrained_pipeline()
    weights = {name: weight.clone() for name, weight in pipe.unet.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    filled = card_filling.filling(pipe, phase, most=16)
    assert filled.batch == batch
    assert filled.scenes == (
        16 * batch if phase.name == "small" else max(phase.scenes, batch)
    )  # TINY uses each once
    assert replace(filled, batch=phase.batch, scenes=phase.scenes) == phase
    assert torch.equal(torch.rand(2), expected)
    assert all(torch.equal(weights[name], weight) for name, weight in pipe.unet.state_dict().items())


@pytest.mark.parametrize(("name", "scenes", "uses"), [("small", 7, 5), ("decoder", 2, 3)])
def test_a_phase_whose_scenes_hold_no_batch_is_refused(name, scenes, uses):
    """It would draw scenes for ever and never take a step."""
    with pytest.raises(ParameterError, match=f"phase {name}: a batch of 8 out of {scenes} scenes"):
        replace(PHASES[1], name=name, batch=8, scenes=scenes, uses=uses)


def test_a_card_too_small_for_the_phases_own_batch_is_said(monkeypatch):
    speeds_of(monkeypatch, [torch.cuda.OutOfMemoryError("full")])
    with pytest.raises(torch.cuda.OutOfMemoryError, match="full"):
        card_filling.filling(untrained_pipeline(), TINY[1])


@pytest.mark.thorough
def test_a_filled_training_says_its_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "filling", lambda pipe, phase, most: replace(phase, batch=4))
    filled = replace(settings(tmp_path, minutes=0.01), most_batch=16)
    training = Training(filled, TINY)
    training.run(Console(quiet=True))
    for phase in training.record.phases.values():
        assert phase.samples == 4 * phase.steps > 0
        assert phase.batch == 4


def test_attention_losses_fall_within_a_few_steps():
    pipe = untrained_pipeline()
    truths = draw_truths(range(FIRST_TRAINING_SEED, FIRST_TRAINING_SEED + 4), 128, LATENT_PX, workers=0)
    batch = latent_pool.fill(truths, pipe.vae, pipe.tokenizer)
    ids = latent_pool.CaptionIds.of(pipe.tokenizer, torch.device("cpu"))
    optimizer = torch.optim.AdamW([*pipe.unet.parameters(), *pipe.text_encoder.parameters()], lr=1e-3)
    history = []
    for _ in range(12):
        got = unet_training.losses(pipe, batch, ids, supervised=True)
        optimizer.zero_grad()
        got.total.backward()
        optimizer.step()
        history.append(got)
    assert history[-1].denoising < history[0].denoising
    assert history[-1].self_attention < history[0].self_attention


def test_taping_changes_neither_the_output_nor_the_processors():
    pipe = untrained_pipeline()
    sample, text = torch.randn(2, 4, 16, 16), torch.randn(2, 77, 64)
    before = list(pipe.unet.attn_processors.values())
    with torch.no_grad(), taping(pipe.unet, torch.ones(2, 1, 16, 16)) as tape:
        taped = pipe.unet(sample, 10, encoder_hidden_states=text).sample
    with torch.no_grad():
        plain = pipe.unet(sample, 10, encoder_hidden_states=text).sample
    assert torch.allclose(taped, plain, atol=1e-5)  # float32, another order of sums
    assert list(pipe.unet.attn_processors.values()) == before
    assert (len(tape.self_rows), len(tape.cross)) == (16, 16)


def test_perfect_attention_costs_nothing():
    parts = torch.zeros(1, 2, 4, 4)
    parts[0, 0, :2], parts[0, 1, 2:] = 1, 1
    member = parts.flatten(2).transpose(1, 2)
    places = torch.arange(16)[None]
    own_segment = member @ (member / member.sum(1, keepdim=True)).transpose(1, 2)
    word_on_first_part = torch.rand(1, 1, 3) * member[..., :1] + 1e-9
    tape = Tape(parts, [SelfRows(places, own_segment)], [word_on_first_part])
    weight = torch.ones(1)
    assert self_loss(tape, weight) == pytest.approx(0, abs=1e-5)
    assert cross_loss(tape, torch.tensor([[0, 1, 0]]), weight) == pytest.approx(0, abs=1e-4)
    assert cross_loss(tape, torch.tensor([[0, 1, 1]]), weight) > 1


def test_small_segments_are_looked_at_as_often_as_large_ones():
    parts = torch.zeros(1, 2, 16, 16)
    parts[:, 1, 3:5, 3:6] = 1  # 6 of 256 places
    parts[:, 0] = 1 - parts[:, 1]
    tape = Tape(parts)
    drawn = torch.cat([tape.drawn(256)[0] for _ in range(40)])
    small = parts[0, 1].flatten()[drawn].mean().item()
    assert small == pytest.approx(0.5, abs=0.06)  # four standard deviations of 1920 draws


def test_a_contour_belongs_to_its_larger_side():
    parts = torch.zeros(1, 2, 2, 2)
    parts[0, 0], parts[0, 1] = 0.75, 0.25
    parts[0, :, 1, 1] = torch.tensor([0.0, 1.0])
    one_segment_each = torch.tensor([[1, 1, 1, 0], [0, 0, 0, 1.0]]) / torch.tensor([[3], [1.0]])
    tape = Tape(parts, [SelfRows(torch.tensor([[0, 3]]), one_segment_each[None])])
    assert self_loss(tape, torch.ones(1)) < 0.3  # above 1 if its target were 0.75 and 0.25


def test_recoloured_captions_keep_their_things():
    tokenizer = untrained_pipeline().tokenizer
    ids = latent_pool.CaptionIds.of(tokenizer, torch.device("cpu"))
    captions = ["a red house and a blue star", "a red house", "a red house and a blue star", "a tree"]
    tokens = latent_pool.token_ids(tokenizer, captions)
    changed = unet_training.recolour(tokens, ids.colours, torch.tensor([True, True, False, True]))
    read = [tokenizer.decode(row, skip_special_tokens=True) for row in changed]
    assert read[0] == "a blue house and a red star"
    assert re.fullmatch(rf"a ({'|'.join(COLOURS)}) house", read[1])
    assert read[2:] == captions[2:]
    many = unet_training.recolour(tokens[1].expand(200, -1), ids.colours, torch.ones(200, dtype=torch.bool))
    assert set(many[:, 2].tolist()) == set(ids.colours.tolist()) - {tokens[1, 2].item()}


def test_only_words_that_the_caption_shows_truly_are_supervised():
    true = torch.tensor([[0, 5, 6, 9, 9], [0, 7, 8, 9, 9], [0, 3, 4, 9, 9]])
    shown = torch.tensor([[0, 4, 6, 9, 9], [0, 7, 8, 9, 9], [0, 9, 9, 9, 9]])  # recoloured, told, not told
    words = torch.tensor([[[1, 0], [2, 0]], [[2, 1], [-1, -1]], [[1, 0], [2, 0]]])
    assert unet_training._meant(words, shown, true).tolist() == [[0, 2, 0], [1, 2, 1]]


def test_only_scenes_without_noise_and_with_caption_are_recoloured():
    pipe = untrained_pipeline()
    given = unet_training.noised(torch.zeros(2000, 4, 2, 2), pipe.scheduler)
    assert not (given.recoloured & ~(given.clean & given.told)).any()
    share = given.recoloured.sum() / (given.clean & given.told).sum()
    assert share.item() == pytest.approx(unet_training.RECOLOURED_SHARE, abs=0.15)


def test_words_point_at_their_tokens():
    tokenizer = untrained_pipeline().tokenizer
    (truth,) = draw_truths(range(FIRST_TRAINING_SEED, FIRST_TRAINING_SEED + 1), 64, LATENT_PX, workers=0)
    vae = untrained_pipeline().vae
    pool = latent_pool.fill(iter([truth]), vae, tokenizer)
    for (_, text, part), row in zip(truth.words, pool.words[0].tolist(), strict=False):
        token = tokenizer.convert_ids_to_tokens(pool.tokens[0, row[0]].item())
        assert (token, row[1]) == (text + "</w>", part)


def test_whitening_leaves_the_picture_and_evens_the_latents():
    vae = untrained_pipeline().vae
    truths = draw_truths(range(FIRST_TRAINING_SEED, FIRST_TRAINING_SEED + 4), 128, LATENT_PX, workers=0)
    pixels = vae_training.gather(truths).pixels
    with torch.no_grad():
        before = vae_training.encode(vae, pixels)
        picture = vae.decode(before).sample
        vae_training.whiten(vae, before)
        after = vae_training.encode(vae, pixels)
        assert torch.allclose(vae.decode(after).sample, picture, atol=1e-4)
    assert torch.allclose(after.mean((0, 2, 3)), torch.zeros(4), atol=1e-4)
    assert torch.allclose(after.std((0, 2, 3)), torch.ones(4), atol=1e-3)


def test_a_long_pause_hardly_counts(monkeypatch):
    now = iter([0.0, 1.0, 10_000.0])
    monkeypatch.setattr("attnscope.demo.clock.time.monotonic", lambda: next(now))
    clock = WorkClock(budget_s=182)
    clock.tick()
    clock.tick()
    assert clock.used_s == 91
    assert clock.progress == 0.5


def test_the_learning_rate_rises_and_falls():
    rates = [learning_rate(1.0, progress) for progress in (0, 0.03, 0.5, 1)]
    assert rates == pytest.approx([0.02, 1.0, 0.525, 0.02], abs=0.01)
