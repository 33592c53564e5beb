"""Models by their id: what lies in the hub's cache is looked at as any folder is. Schedulers that can't take a step."""

import inspect
import json
import os
import shutil
import warnings

import diffusers
import pytest
import torch
from diffusers import SchedulerMixin

import attnscope
from attnscope.demo.architecture import untrained_pipeline
from attnscope.errors import ModelError
from attnscope.pipelines.schedulers import OPTIONS, check_scheduler, compared_words, takes_a_step


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "whole"
    untrained_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture
def snapshot(whole, tmp_path, monkeypatch):
    """The model's folder in a cache, as the hub's client lays it out: links to blobs."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    stored = tmp_path / "cache" / "models--owner--tiny"
    snapshot = stored / "snapshots" / "abc"
    (stored / "refs").mkdir(parents=True)
    (stored / "refs" / "main").write_text("abc")
    (stored / "blobs").mkdir()
    for number, path in enumerate(sorted(path for path in whole.rglob("*") if path.is_file())):
        shutil.copy(path, stored / "blobs" / str(number))
        link = snapshot / path.relative_to(whole)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(stored / "blobs" / str(number), link.parent))
    return snapshot


def load(snapshot, **options):
    return attnscope.load_pipeline("owner/tiny", device="cpu", cache_dir=str(snapshot.parents[2]), **options)


def refusal(snapshot):
    with pytest.raises(ModelError) as caught:
        load(snapshot)
    return str(caught.value)


def change(path, **entries):
    contents = {**json.loads(path.read_text()), **entries}
    path.unlink()  # it is a link
    path.write_text(json.dumps(contents))


class Program:
    """A pickle of it writes a file when it is opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_whole_model_loads_under_its_id(snapshot):
    pipe = load(snapshot)
    assert pipe.name_or_path == "owner/tiny"
    assert pipe.text_encoder is not None


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_pickles_in_the_cache_are_refused_unopened(snapshot, tmp_path, part):
    weights = next((snapshot / part).glob("*.safetensors"))
    weights.unlink()
    torch.save({"weight": Program(tmp_path / "ran")}, weights.with_suffix(".bin"))
    assert f"{part} holds its weights in" in refusal(snapshot)
    assert not (tmp_path / "ran").exists()


def test_a_text_encoder_that_lacks_weights_is_refused(snapshot):
    from safetensors.torch import load_file, save_file

    weights = next((snapshot / "text_encoder").glob("*.safetensors"))
    tensors = load_file(weights)
    del tensors[sorted(tensors)[-1]]
    weights.unlink()
    save_file(tensors, weights, {"format": "pt"})
    assert "lacks weights: " in refusal(snapshot)


def test_a_blob_that_is_cut_short_is_named(snapshot):
    weights = next((snapshot / "unet").glob("*.safetensors"))
    os.truncate(weights.resolve(), 1000)
    assert "is damaged or cut short" in refusal(snapshot)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"unet": ["os", "system"]}, "expected a class of diffusers or transformers"),
        ({"unet": [1]}, 'expected ["library", "class"]'),
    ],
)
def test_an_index_of_something_else_is_refused(snapshot, entries, said):
    change(snapshot / "model_index.json", **entries)
    assert said in refusal(snapshot)


def test_code_of_the_models_own_is_not_run(snapshot, tmp_path):
    (snapshot / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    change(snapshot / "model_index.json", _class_name=["own", "Own"])
    assert refusal(snapshot)
    assert not (tmp_path / "ran").exists()


# Schedulers


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "model")


@pytest.mark.thorough
@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("word", ["nonsense", "", None, 7, ["epsilon"]])
def test_a_word_that_a_scheduler_does_not_know_is_refused_at_load(folder, option, word):
    path = folder / "scheduler" / "scheduler_config.json"
    change(path, **{option: word})
    with pytest.raises(ModelError) as caught:
        attnscope.load_pipeline(folder, device="cpu")
    said = str(caught.value)
    assert f"says {option} {word!r}" in said
    known = {"prediction_type": "'epsilon', 'sample', 'v_prediction'", "timestep_spacing": "'leading'"}[
        option
    ]
    assert known in said
    change(path, **{option: known.split("'")[1]})
    assert attnscope.load_pipeline(folder, device="cpu").scheduler.config[option] == known.split("'")[1]


def schedulers():
    found = (getattr(diffusers, name) for name in dir(diffusers) if name.endswith("Scheduler"))
    return [kind for kind in found if inspect.isclass(kind) and issubclass(kind, SchedulerMixin)]


def made(kind, *config, **changes):
    """A scheduler; None where it refuses its configuration by itself."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of NumPy, by diffusers
            return kind.from_config(*config, **changes) if config else kind()
    except (ValueError, NotImplementedError):
        return None
    except (ImportError, TypeError) as error:  # of a package that is not here, or it wants arguments
        pytest.skip(str(error))


@pytest.mark.thorough
@pytest.mark.parametrize("kind", schedulers(), ids=lambda kind: kind.__name__)
def test_every_word_that_diffusers_knows_is_let_pass(kind):
    scheduler = made(kind)
    check_scheduler(scheduler)
    for option in set(OPTIONS) & set(scheduler.config):
        for word in compared_words(kind, option):
            check_scheduler(made(kind, scheduler.config, **{option: word}))


@pytest.mark.thorough
@pytest.mark.parametrize("kind", schedulers(), ids=lambda kind: kind.__name__)
def test_a_scheduler_is_refused_where_a_step_fails(kind):
    scheduler = made(kind)
    for option in set(OPTIONS) & set(scheduler.config):
        other = made(kind, scheduler.config, **{option: "nonsense"})
        if other is None or not takes_a_step(scheduler):
            continue
        if takes_a_step(other):
            check_scheduler(other)
        else:
            with pytest.raises(ModelError, match=f"says {option} 'nonsense'"):
                check_scheduler(other)
