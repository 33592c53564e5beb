"""Every case, by its name."""

from __future__ import annotations

from compatibility import (
    zoo_control, zoo_kandinsky, zoo_others, zoo_pag, zoo_pixels, zoo_sound, zoo_stable_diffusion, zoo_unconditional, zoo_variants, zoo_video, zoo_xl,
)  # fmt: skip

ZOO = (
    zoo_stable_diffusion, zoo_xl, zoo_control, zoo_pag, zoo_variants, zoo_video, zoo_unconditional, zoo_pixels, zoo_kandinsky, zoo_others, zoo_sound,
)  # fmt: skip
CASES = {case.name: case for zoo in ZOO for case in zoo.CASES}
