"""The stage `training`: the demo model trained on from its shipped weights, then measured beside them.

OUT/model is the model folder, OUT/training.json what was measured of both models, row by row; each row's larger number
is the better one. This module imports little: processes that draw scenes import it again.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from gpu.progress import write_json
from gpu.stages import stage_options

EVALUATION_SHARE = 0.35
MOST_EVALUATION_S = 300.0
START_S = 40.0
"""For imports, for trying batches, for drawing the first scenes of each phase."""
TOY_MINUTES = 0.05


def main() -> None:
    given = stage_options(__doc__)
    left_s = given.seconds - min(EVALUATION_SHARE * given.seconds, MOST_EVALUATION_S) - START_S
    train_and_measure(given.out, TOY_MINUTES if given.rehearse else max(0.1, left_s / 60), toy=given.rehearse)


def train_and_measure(out: Path, minutes: float, *, toy: bool) -> None:
    """Everything is on disk as soon as it is known; `complete` comes last."""
    import torch
    from rich.console import Console

    from attnscope.demo import MODEL_FOLDER
    from gpu.demo_model import FULL, TOY, add_scores, compared, measure, too_large, train

    began = time.monotonic()
    size, device = TOY if toy else FULL, "cuda" if torch.cuda.is_available() else "cpu"
    console = Console(force_terminal=False, width=120)
    results: dict[str, Any] = {"complete": False, "minutes": minutes}
    write_json(out / "training.json", results)
    torch.set_float32_matmul_precision("high")
    results |= {"training": train(out, minutes, size, device, console)}
    write_json(out / "training.json", results)
    torch.set_float32_matmul_precision("highest")
    if large := too_large(out / "model"):
        sys.exit(f"files of 16 MB or more: {', '.join(large)}")
    rows: dict[str, dict[str, float]] = {"trained on": {}, "shipped": {}}
    folders = {"trained on": out / "model", "shipped": MODEL_FOLDER}
    for model, more in measure(folders, size, device, console):
        rows[model] |= more
        results |= {"evaluation": rows, "compared": compared(rows), "seconds": time.monotonic() - began}
        write_json(out / "training.json", results)
        add_scores(out / "model", rows["trained on"])
    for name, (new, old) in results["compared"]["trained on, shipped"].items():
        console.print(f"{name:<44} {new:.3f}  {old:.3f} shipped{'  worse' if new < old else ''}")
    write_json(out / "training.json", results | {"complete": True})


if __name__ == "__main__":
    main()
