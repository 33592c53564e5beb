"""Where records live during a capture and after it: in memory, in a folder, or within a budget in both.

memory.py        the protocol of all of them, and records kept as tensors
folder.py        a trace on disk: a manifest and one shard a step (docs/trace-format.md)
budgeted.py      memory up to a budget, then the folder, by a thread that writes behind the model
opening.py       which of these a new capture gets
manifest.py      the manifest: what is in the folder, read with suspicion
shards.py        one safetensors file
reduced_maps.py  maps that were reduced over the run, as files
"""
