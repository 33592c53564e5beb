"""How good segments are on pictures with masks: data sets, protocols, scores and their report.

    from attnscope.evaluation import evaluate, scores

counting.py    pixels of each class in each segment
assigning.py   which segment stands for which class: the protocols
edges.py       lines between segments beside those of the truth
scoring.py     accuracy, mIoU, boundary F, intervals
classes.py     the published data sets' classes and numbers
datasets.py    a data set as plain data; a picture's truth
layouts.py     data sets found in folders, and the demo world
checking.py    what is wrong with a data set, before the first pass
preparing.py   what a model is shown and at which size is compared: ours and the papers'
kept.py        files of each picture, whole or not at all
comparing.py   methods side by side on one picture
job.py         one picture, segmented and counted
evaluating.py  the question, and what it takes to answer
examples.py    the best, the median and the worst picture
published.py   what papers say
result.py      Evaluation: the numbers and what they depend on
markdown.py    that as text
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnscope.lazily import lazily

if TYPE_CHECKING:
    from attnscope.evaluation.comparing import Comparison, compare
    from attnscope.evaluation.datasets import Dataset
    from attnscope.evaluation.evaluating import evaluate
    from attnscope.evaluation.layouts import open_dataset
    from attnscope.evaluation.result import Evaluation
    from attnscope.evaluation.scoring import Scores, scores

__all__ = ["Comparison", "Dataset", "Evaluation", "Scores", "compare", "evaluate", "open_dataset", "scores"]

_HOMES = {
    "Comparison": "comparing",
    "compare": "comparing",
    "Dataset": "datasets",
    "Evaluation": "result",
    "Scores": "scoring",
    "evaluate": "evaluating",
    "open_dataset": "layouts",
    "scores": "scoring",
}

__getattr__, __dir__ = lazily(__name__, _HOMES)
