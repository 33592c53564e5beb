"""What is known of one call of a pipeline."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from types import FrameType

from torch import Tensor

from attnscope.records import Run
from attnscope.records.run import TextName


@dataclass(eq=False)
class PipelineCall:
    """What is known of one call of a pipeline, filled as it goes.

    Attributes:
        run: Model, prompts, seed, pictures ...
        frame: The frame of the call, which no other call has. None: its parts are called by hand.
        conditions: Branch names, each with what was encoded for it, (image, token, channel).
        is_seen: Whether the pipeline has encoded a prompt or prepared latents.
        is_unclear: What it has encoded does not tell a row's branch: more than one prompt, or something unusual.
        has_run: Whether the model has run.
        is_whole: No other run shares its steps.
        texts_read: Texts of a transformer's branches that were read.
    """

    run: Run
    frame: FrameType | None = None
    conditions: list[tuple[str, Tensor]] = field(default_factory=list)
    is_seen: bool = False
    is_unclear: bool = False
    has_run: bool = False
    is_whole: bool = True
    texts_read: set[TextName] = field(default_factory=set)

    def begin_again(self) -> None:
        """The call goes on with another pass: its prompts stay, its steps are shared."""
        self.run, self.is_whole = copy(self.run), False
