"""Folders of transformers, with several text encoders, T5's among them, and weights in one file or in several."""

import json
import shutil

import numpy as np
import pytest
import torch

import attnscope
from attnscope.errors import ModelError
from transformer_cases import CASES

pytestmark = [
    pytest.mark.filterwarnings("ignore::attnscope.recording.running.passes.IncompleteCaptureWarning"),
    pytest.mark.filterwarnings("ignore:.*is deprecated:FutureWarning"),  # diffusers' own
    pytest.mark.filterwarnings("ignore:In CPU autocast:UserWarning"),  # of Mochi
]
every_case = pytest.mark.parametrize("case", CASES, ids=str)
NEEDED = {"PRXPipeline": "ftfy", "CosmosTextToWorldPipeline": "cosmos_guardrail"}
ALIKE = 1e-5  # weights lie elsewhere in memory, which changes the order of sums


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A pipeline and its folder, once each."""
    made = {}

    def saved_of(case):
        if case.name in NEEDED:
            pytest.importorskip(NEEDED[case.name])
        if case.name not in made:
            folder = tmp_path_factory.mktemp(case.name)
            pipe = case.make(folder / "files")
            pipe.save_pretrained(folder / "model")
            made[case.name] = pipe, folder / "model"
        return made[case.name]

    return saved_of


@pytest.mark.thorough
@every_case
def test_a_saved_pipeline_is_loaded_with_all_of_its_numbers_and_captured(case, saved):
    pipe, folder = saved(case)
    loaded = attnscope.load_pipeline(folder, device="cpu")
    loaded.set_progress_bar_config(disable=True)
    assert type(loaded) is type(pipe)
    for name, part in pipe.components.items():
        if isinstance(part, torch.nn.Module):
            numbers = getattr(loaded, name).state_dict()
            assert all(torch.equal(number, numbers[key]) for key, number in part.state_dict().items())
    theirs = type(pipe).from_pretrained(folder)
    theirs.set_progress_bar_config(disable=True)
    for each in (loaded, theirs):
        each.vae.use_tiling = getattr(pipe.vae, "use_tiling", False)  # which no file says
    with attnscope.capture(loaded) as trace:
        picture = case.run(loaded)
    assert np.abs(np.asarray(picture) - np.asarray(case.run(theirs))).max() < ALIKE
    assert (trace.run.family, trace.run.model, len(trace.layers)) == (case.family, str(folder), case.layers)


@pytest.mark.thorough
@every_case
def test_weights_in_several_files_with_an_index_are_loaded(case, saved, tmp_path):
    pipe, folder = saved(case)
    folder = in_shards(pipe, shutil.copytree(folder, tmp_path / "model"))
    numbers = attnscope.load_pipeline(folder, device="cpu").transformer.state_dict()
    assert all(torch.equal(number, numbers[key]) for key, number in pipe.transformer.state_dict().items())
    shard = sorted((folder / "transformer").glob("*-00002-*"))[0]
    shard.unlink()
    with pytest.raises(ModelError, match=f"transformer: .*{shard.name}"):
        attnscope.load_pipeline(folder, device="cpu")


@pytest.mark.parametrize(
    "elsewhere", ["../vae/diffusion_pytorch_model.safetensors", "weights.bin", "/etc/passwd", 3]
)
def test_an_index_that_leads_elsewhere_is_refused(saved, tmp_path, elsewhere):
    pipe, folder = saved(CASES[0])
    folder = in_shards(pipe, shutil.copytree(folder, tmp_path / "model"))
    (index,) = (folder / "transformer").glob("*.index.json")
    contents = json.loads(index.read_text())
    contents["weight_map"][next(iter(contents["weight_map"]))] = elsewhere
    index.write_text(json.dumps(contents))
    with pytest.raises(ModelError, match=r"index\.json says that weights are in .* files beside it"):
        attnscope.load_pipeline(folder, device="cpu")


@every_case
def test_a_pickle_in_place_of_the_transformers_weights_is_refused(case, saved, tmp_path):
    folder = shutil.copytree(saved(case)[1], tmp_path / "model")
    weights = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    torch.save({}, weights.with_suffix(".bin"))
    weights.unlink()
    with pytest.raises(
        ModelError, match=r"transformer holds its weights in 'diffusion_pytorch_model\.bin' only"
    ):
        attnscope.load_pipeline(folder, device="cpu")


def test_a_lone_transformer_folder_says_which_folder_to_give(saved):
    with pytest.raises(ModelError, match=r"give the folder above unet/ or transformer/"):
        attnscope.load_pipeline(saved(CASES[0])[1] / "transformer", device="cpu")


def in_shards(pipe, folder):
    """The folder with its transformer's weights in files of 20 kB."""
    shutil.rmtree(folder / "transformer")
    pipe.transformer.save_pretrained(folder / "transformer", max_shard_size="20KB")
    assert len(list((folder / "transformer").glob("*.safetensors"))) > 2
    return folder
