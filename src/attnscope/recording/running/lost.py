"""What can't be recorded any more once a run is under way: a capture must not stop it, and says so at its end."""

from __future__ import annotations

from collections.abc import Iterator

from attnscope.errors import CaptureError, UnobservedError, describe_numbers
from attnscope.records import LayerId


class Lost:
    """Layers that are lost in some steps, and why the first was."""

    def __init__(self) -> None:
        self._steps: dict[LayerId, list[int]] = {}
        self._why: CaptureError | None = None
        self.doubt: UnobservedError | None = None
        """What a check has found, which is made in some runs alone: nobody knows since when it is so."""

    def add(self, layer: LayerId, step: int, why: CaptureError) -> None:
        """A layer ran and can't be recorded.

        Args:
            layer: The layer.
            step: The step.
            why: What a run that begins would be refused with.
        """
        if isinstance(why, UnobservedError):
            self.doubt = self.doubt or why
            return
        self._steps.setdefault(layer, []).append(step)
        self._why = self._why or why

    def gaps(self) -> Iterator[str]:
        """One sentence, if anything was lost."""
        if self._why is not None:
            layers = (f"{layer} in steps {describe_numbers(at)}" for layer, at in self._steps.items())
            yield (
                "layers could not be recorded any more while the run went on, so the trace lacks them: "
                f"{'; '.join(layers)}. The first, because {self._why}"
            )
