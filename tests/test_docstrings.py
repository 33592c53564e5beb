"""Public docstrings list the parameters that there are, and no others."""

from pathlib import Path

import attnscope
from docs.tools.docstrings import ALREADY, NOT_YET, problems

SOURCE = Path(attnscope.__file__).parent

WRONG = '''
def blurred(image, radius, *, edge="wrap", **more):
    """The picture, blurred.

    Args:
        image: A picture.
        sigma (float): In pixels:
            radius: is not one of the parameters here.
        **more: Passed on.
    """

class Blur:
    """Blurs."""

    def __init__(self, radius): ...

    def again(self, image):
        return image

    def _private(self, image): ...
'''


def test_public_docstrings_list_the_parameters_that_there_are():
    assert list(problems(SOURCE)) == []


def test_what_is_missing_or_too_much_is_named(tmp_path):
    (tmp_path / "blur.py").write_text(WRONG)
    assert list(problems(tmp_path)) == [
        "blur.py:2: blurred: Args lacks radius, edge",
        "blur.py:2: blurred: Args has sigma, which the signature lacks",
        "blur.py:12: Blur: Args lacks radius",
        "blur.py:17: Blur.again has no docstring",
        "blur.py:17: Blur.again: Args lacks image",
    ]


def test_rooms_that_do_not_follow_yet_are_there():
    assert [name for name in (*NOT_YET, *ALREADY) if not (SOURCE / name).exists()] == []
