"""Self-attention is held to its targets at a higher temperature than the network works at."""

import json
import shutil

import pytest
import torch
from diffusers import StableDiffusionPipeline

from attnscope.demo import MODEL_FOLDER
from attnscope.demo.architecture import untrained_pipeline
from attnscope.demo.attention_losses import TEMPERATURE, sharpen, taping
from attnscope.demo.train import Settings, Training, parse

SELF = "down_blocks.0.attentions.0.transformer_blocks.0.attn1"
FIRST = f"{SELF}.to_q.weight"
CROSS = FIRST.replace("attn1", "attn2")


@torch.no_grad()
def first_rows(unet):
    """Head-mean rows of the first self-attention, by the tape and in float64 from its projections."""
    seen = {}
    attention = unet.get_submodule(SELF)
    handles = [
        getattr(attention, name).register_forward_hook(
            lambda _, __, out, name=name: seen.update({name: out.unflatten(-1, (8, -1)).transpose(1, 2)})
        )
        for name in ("to_q", "to_k")
    ]
    torch.manual_seed(0)
    sample, text = torch.randn(1, 4, 16, 16), torch.randn(1, 77, 64)
    with taping(unet, torch.ones(1, 1, 16, 16)) as tape:
        unet(sample, 10, encoder_hidden_states=text)
    for handle in handles:
        handle.remove()
    places, taped = tape.self_rows[0]
    scores = seen["to_q"].double() @ seen["to_k"].double().mT * attention.scale
    return taped.double(), scores[:, :, places[0]]


def test_the_loss_sees_softer_rows_than_the_network():
    unet = untrained_pipeline().unet
    sharpen(unet, 50)  # or all rows are even
    taped, scores = first_rows(unet)
    torch.testing.assert_close(taped, (scores / TEMPERATURE).softmax(-1).mean(1), rtol=0, atol=1e-6)
    assert (taped - scores.softmax(-1).mean(1)).abs().max() > 1e-3


def test_weights_of_another_temperature_are_sharpened_once(tmp_path):
    record = json.loads((MODEL_FOLDER / "training.json").read_text())
    record["settings"]["attention_losses"].pop("TEMPERATURE", None)
    before = shutil.copytree(MODEL_FOLDER, tmp_path / "before")
    (before / "training.json").write_text(json.dumps(record))
    first = Training(Settings(1, tmp_path / "one.pt", tmp_path / "one", start=before))
    first.export()
    second = Training(Settings(1, tmp_path / "two.pt", tmp_path / "two", start=tmp_path / "one"))
    of_it, of_first, of_second = (
        pipe.unet.float().state_dict()
        for pipe in (
            StableDiffusionPipeline.from_pretrained(before, safety_checker=None),
            first.pipe,
            second.pipe,
        )
    )
    assert torch.equal(of_first[FIRST], of_it[FIRST] * TEMPERATURE)
    assert torch.equal(of_first[CROSS], of_it[CROSS])
    assert torch.equal(of_second[FIRST], of_first[FIRST])


def test_phases_are_chosen_by_name(capsys):
    named = ["--out", "x", "--phases", "decoder", "full"]
    assert [phase.name for phase in parse(named)[1]] == ["full", "decoder"]
    assert [phase.name for phase in parse(["--out", "x"])[1]] == ["vae", "small", "full", "decoder"]
    with pytest.raises(SystemExit):
        parse(["--out", "x", "--phases", "fine"])
    assert "'fine'" in capsys.readouterr().err
