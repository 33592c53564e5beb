"""Every pipeline of diffusers that has a U-Net or a transformer, and the ways to run one: what attnscope says beside
what is true.

case.py            what is true of one way of running diffusers, written by hand
zoo_*.py           the pipelines, from parts.py (tiny random components) and parts_text.py
runs, options, processors, patches, schedulers: ways to run one, with image_adapters.py and hand_written.py
transformer_ways.py: the same with a transformer
transformer_parts.py: cases of transformers, from the tiny pipelines of attnscope.testing
pipelines.py       all that diffusers has
cases.py           all of them, and what can't be tried here
truth.py           hooks on to_q and to_k: what attention layers really compute
transformer_truth.py: the same of transformers, whose attention all runs through one function
running.py         one case, twice: alone and under capture
questions.py       the six questions, each a column of the page
page.py            docs/compatibility.md, written and read
report.py          `./dev compatibility`
"""
