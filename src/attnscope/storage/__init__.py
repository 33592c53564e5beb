"""Where records live during a capture and after it: in memory, in a folder, or within a budget in both.

memory.py            the protocol of all of them, and records kept as tensors
folder.py            a trace on disk: a manifest and one shard a call of the model (docs/trace-format.md)
folder_records.py    the records of one of its passes
call_shards.py       the shards of a pass, read
budgeted.py          memory up to a budget, then the folder, by a thread that writes behind the model
budgeted_records.py  the records of one of its passes
overflowing.py       memory as long as there is room, then such a budget
room.py              how much memory and disk is free
sizes.py             a budget as people write it
opening.py           which of these a new capture gets
saving.py            a trace that is there already, saved as a folder
recent.py            what was read last, kept as long as it fits

Files, read with suspicion:

manifest_file.py     the manifest: all passes, with a digest
manifest.py          one pass of it
record_facts.py      what it says of a record
output_facts.py      what it says of a module's output
plain.py             nouns as JSON values, and back
values.py            values with types and limits
shards.py            one safetensors file
shard_headers.py     what it says of itself
reduced_maps.py      maps that were reduced over the run
projections.py       how layers make keys of a text
pictures.py          pictures of a run, decoded when somebody looks
previews.py          previews of its steps
digests.py           what finds damage
plain_files.py       files that are plain, read and never mapped
"""
