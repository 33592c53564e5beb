"""An address as a QR code, for the camera of a phone."""

from __future__ import annotations

QUIET_ZONE = 2
"""Light modules around a code. The norm is four, which takes half a small terminal; cameras are content with two."""


def qr_code(text: str) -> list[str]:
    """A QR code as lines for a terminal, two modules high each; to be shown as black on white.

    Args:
        text: What it says.

    Returns:
        No line where segno is not installed.
    """
    try:
        import segno
    except ImportError:
        return []
    rows = [list(row) for row in segno.make(text, micro=False, error="l").matrix_iter(border=QUIET_ZONE)]
    rows += [[0] * len(rows[0])] * (len(rows) % 2)
    return [
        "".join(" ▀▄█"[upper + 2 * lower] for upper, lower in zip(above, below, strict=True))
        for above, below in zip(rows[::2], rows[1::2], strict=True)
    ]
