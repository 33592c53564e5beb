"""Everything for the minutes in which a GPU is at hand: one command tests, times and trains. docs/gpu.md says how.

__main__.py    `./dev gpu`: stages one after the other, each with its share of the time
stages.py      which stages there are, what they need, and how one is run within its limit
packages.py    what is installed here, and what a folder of wheels adds in a folder of its own
wheels.py      `./dev gpu-wheels FOLDER`: fills that folder beforehand and checks that nothing is missing
progress.py    results that are on disk after every line
testing.py     the stage `tests`: everything marked gpu, a process for each file
timing.py      the stage `timings`: every script in benchmarks/gpu, a process for each
training.py    the stage `training`: the demo model trained on, then measured beside the shipped one
demo_model.py  how it is trained and measured
machine.txt    what such a machine has of its own; wheels.txt what it lacks
"""
