"""How large previews of steps are, and of which runs there can be any."""

from __future__ import annotations

from attnscope.errors import CaptureError, ParameterError

LONGEST_PX = 128
"""Of a preview, unless another size is asked for."""
MOST_PX = 1024


def pixels_of(previews: bool | int) -> int:
    """Longer side of a preview at most, in pixels; 0 for no previews.

    Args:
        previews: As for `attnscope.capture`.

    Raises:
        ParameterError: It is neither true or false, nor such a number.
    """
    if isinstance(previews, bool):
        return LONGEST_PX if previews else 0
    if not isinstance(previews, int) or not 1 <= previews <= MOST_PX:
        raise ParameterError(
            f"previews={previews!r}: expected True, False, or the longer side in pixels, 1 to {MOST_PX}"
        )
    return previews


def check_no_video(frames: int) -> None:
    """Refuse a run that makes a video.

    Args:
        frames: Frames of its latent.

    Raises:
        CaptureError: There are several.
    """
    if frames > 1:
        raise CaptureError(
            f"previews are of pictures, and this run makes a video (a latent of {frames} frames): leave previews out"
        )
