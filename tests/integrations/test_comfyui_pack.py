"""The nodes for ComfyUI as a pack: it loads, its nodes fit their functions, and the example runs."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import json
import sys

import comfy_real
import pytest
from comfy_cases import (
    PACK,
    captured,
    conds,
    trace_of,
)

from attnscope import load_trace
from attnscope.testing.made_traces import made_trace
from integrations.comfyui import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS


def test_pack_loads_as_comfyui_loads_it():
    name = "custom_nodes_attnscope_x_pack"
    spec = importlib.util.spec_from_file_location(name, PACK / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
        assert module.NODE_CLASS_MAPPINGS.keys() == module.NODE_DISPLAY_NAME_MAPPINGS.keys()
    finally:
        for loaded in [each for each in sys.modules if each.startswith(name)]:
            del sys.modules[loaded]


@pytest.mark.parametrize("node", NODE_CLASS_MAPPINGS.values())
def test_nodes_say_what_comfyui_asks(node):
    inputs = node.INPUT_TYPES()
    names = [*inputs["required"], *inputs.get("optional", {})]
    parameters = inspect.signature(getattr(node, node.FUNCTION)).parameters
    assert set(names) == set(parameters) - {"self"}
    assert node.CATEGORY == "attnscope"
    for name, (_, *rest) in (inputs["required"] | inputs.get("optional", {})).items():
        default = rest[0].get("default") if rest else None
        if default is not None and parameters[name].default is not inspect.Parameter.empty:
            assert parameters[name].default == default, name


def test_example_workflow_connects_outputs_to_inputs_of_their_type():
    workflow = json.loads((PACK / "example_workflow.json").read_text())
    kinds = {node["class_type"] for node in workflow.values()}
    assert set(NODE_CLASS_MAPPINGS) <= kinds
    assert set(NODE_DISPLAY_NAME_MAPPINGS) == set(NODE_CLASS_MAPPINGS)
    for node in workflow.values():
        if (known := NODE_CLASS_MAPPINGS.get(node["class_type"])) is None:
            continue
        types = known.INPUT_TYPES()
        every = types["required"] | types.get("optional", {})
        assert set(types["required"]) <= set(node["inputs"]) <= set(every)
        for name, value in node["inputs"].items():
            source = workflow[value[0]] if isinstance(value, list) else None
            if source and (theirs := NODE_CLASS_MAPPINGS.get(source["class_type"])):
                assert theirs.RETURN_TYPES[value[1]] == every[name][0]


def test_trace_has_what_a_made_trace_has(world):
    """Facts for the viewer and the command line are there, as of any trace."""
    model, handle = captured(world, branches="both")
    world.sample(model, *conds(world))
    facts = trace_of(handle).facts()
    assert facts.keys() == made_trace().facts().keys()
    assert facts["pipeline"] == "ComfyUI"


@pytest.mark.skipif(not comfy_real.FOLDER, reason="ATTNSCOPE_COMFYUI names no ComfyUI checkout")
@pytest.mark.filterwarnings("ignore")
def test_comfyui_runs_the_example_workflow(true_comfyui, tmp_path, monkeypatch):
    """Its own executor: order, cache and all."""
    import folder_paths
    from execution import validate_prompt

    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path))
    monkeypatch.setattr(folder_paths, "temp_directory", str(tmp_path))
    executor = comfy_real.executor(true_comfyui, PACK)
    workflow = json.loads((PACK / "example_workflow.json").read_text())
    workflow["5"]["inputs"] |= {"width": 64, "height": 96}
    workflow["7"]["inputs"]["steps"] = 3
    workflow["11"]["inputs"] |= {"x": 20, "y": 70}

    def run(number: str) -> list[str]:
        """What ran, not from the cache. An error fails."""
        valid, error, outputs, errors = asyncio.run(validate_prompt(number, workflow, None))
        assert valid, (error, errors)
        executor.execute(workflow, number, {}, outputs)
        assert executor.success, executor.status_messages[-1][1]["exception_message"]
        cached = next(
            data["nodes"] for event, data in executor.status_messages if event == "execution_cached"
        )
        return sorted(set(workflow) - set(cached), key=int)

    assert run("1") == sorted(workflow, key=int)
    assert load_trace(tmp_path / "attnscope" / "house_00001.trace").run.seed == 1
    workflow["9"]["inputs"]["word"] = "lake"
    assert run("2") == ["9", "10"]  # the run isn't sampled anew
    workflow["7"]["inputs"]["seed"] = 2
    assert run("3") == ["7", "8", "9", "10", "11", "12", "13", "14", "15"]
    assert load_trace(tmp_path / "attnscope" / "house_00002.trace").run.seed == 2
    workflow["16"] = {**workflow["7"], "inputs": {**workflow["7"]["inputs"], "seed": 3}}
    workflow["17"] = {"class_type": "VAEDecode", "inputs": {"samples": ["16", 0], "vae": ["1", 2]}}
    workflow["18"] = {"class_type": "PreviewImage", "inputs": {"images": ["17", 0]}}
    assert run("4") == ["16", "17", "18"]  # another sampler replaces the run
    workflow["9"]["inputs"]["word"] = "house"
    with pytest.raises(AssertionError, match="another run than this latent"):
        run("5")
