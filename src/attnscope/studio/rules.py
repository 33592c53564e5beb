"""What people may do who open a studio, and how it knows whose run is whose."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Annotated

from fastapi import Header, HTTPException

from attnscope.errors import ParameterError
from attnscope.studio.runs import Run

Maker = Annotated[str, Header(alias="attnscope-maker", max_length=128)]
"""A secret that a browser makes for itself and sends with what it asks for."""


@dataclass(frozen=True)
class Rules:
    """What the owner of a studio lets people do.

    Attributes:
        guests: Only the browser that began a run may stop, rename or delete it.
        files: Photos and traces may be brought.
        keep: How many runs are kept: with each new one the oldest are deleted. None: all.

    Raises:
        ParameterError: No run would be kept.
    """

    guests: bool = False
    files: bool = True
    keep: int | None = None

    def __post_init__(self) -> None:
        """Refuse to keep nothing."""
        if self.keep is not None and self.keep < 1:
            raise ParameterError(f"keep={self.keep}: expected 1 run or more, or None for all")

    def check_maker(self, run: Run, secret: str) -> None:
        """Refuse to change what somebody else has begun.

        Args:
            run: What is to be changed.
            secret: Of the browser that asks.

        Raises:
            HTTPException: 403, with guests, unless it is the browser's own.
        """
        own = run.stored.maker
        if self.guests and not (own and hmac.compare_digest(own.encode(), maker_of(secret).encode())):
            raise HTTPException(
                403, f"run {run.number} is somebody else's: only the browser that began it can change it"
            )

    def check_files(self) -> None:
        """Refuse what is brought, where nothing may be.

        Raises:
            HTTPException: 403.
        """
        if not self.files:
            raise HTTPException(403, "this studio takes no photos and no traces: start your own for them")


def maker_of(secret: str) -> str:
    """What is kept of a browser's secret, and may be known. Empty without one.

    Args:
        secret: The secret.
    """
    return hashlib.sha256(secret.encode()).hexdigest() if secret else ""
