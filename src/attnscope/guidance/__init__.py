"""Guidance by attention: latents follow the gradient of what attention should be like.

guiding.py            a pipeline's run whose latents follow the gradient of any loss of attention
attend_and_excite.py  the loss and the schedule of Attend-and-Excite
"""

from attnscope.guidance.attend_and_excite import attend_and_excite, neglect
from attnscope.guidance.guiding import Guided, guide, loss_and_gradient

__all__ = ["Guided", "attend_and_excite", "guide", "loss_and_gradient", "neglect"]
