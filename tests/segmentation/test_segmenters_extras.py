"""What cuts, backgrounds and fitting need beside torch is named where it is missing."""

import sys

import numpy as np
import pytest
import torch

from attnscope.errors import MissingExtraError
from attnscope.segmentation.picture_edges import fit_to_picture
from attnscope.segmentation.spreading import with_background


@pytest.mark.parametrize(
    ("module", "call"),
    [
        ("skimage.filters", lambda: with_background(torch.rand(1, 4, 4))),
        ("kornia.filters", lambda: fit_to_picture(torch.rand(1, 4, 4), np.zeros((16, 16, 3), np.uint8))),
    ],
)
def test_a_missing_extra_is_named(module, call, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r'pip install "attnscope\[segment\]"'):
        call()
