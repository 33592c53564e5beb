"""What is done to the files of a trace, and the traces that it is done to."""

import json

from safetensors import safe_open
from safetensors.torch import load_file, save_file

from attnscope.storage.folder import TraceFolder
from attnscope.storage.manifest import MANIFEST


def verified(folder):
    for records in TraceFolder.open(folder).passes:
        yield from records.verified()


def edit(folder, change):
    path = folder / MANIFEST
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def shard(folder):
    return folder / "call-00000.safetensors"


def rewrite(folder, change, path=None):
    path = path or shard(folder)
    with safe_open(path, framework="pt") as opened:
        about = opened.metadata()
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata=about)


def edit_run(folder, change):
    edit_pass(folder, lambda data: change(data["run"]))


def edit_pass(folder, change):
    edit(folder, lambda data: change(data["passes"][0]))
