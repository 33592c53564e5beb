"""Many pictures: what is done already, one process or many machines, what failed.

job.py         the nouns: Item, Job, Row, Engine
running.py     run: what is done is skipped, the rest goes to an engine
loop.py        one process, one item after the other
ray_engine.py  workers of a Ray cluster that load the model once
items.py       a folder, a pattern, a list or an address to items with names
places.py      files here and behind fsspec addresses: read, written whole, identified
report.py      what became of each item, as Parquet and JSON
"""
