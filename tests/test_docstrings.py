"""Public docstrings list the parameters that there are, and no others."""

from pathlib import Path

import attnscope
from docs.tools.docstrings import SERVER, problems

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

    @property
    def edge(self):
        """How it goes on beyond the edge."""
        return self._edge

    @edge.setter
    def edge(self, edge):
        self._edge = edge
'''

COMMAND = '''
def blur_command(image):
    """Blur a picture."""

def blurred(image):
    """The picture, blurred."""
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


def test_commands_say_what_their_parameters_are_in_help(tmp_path):
    for folder in ("cli", "pictures"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "blur.py").write_text(COMMAND)
    assert list(problems(tmp_path)) == [
        "cli/blur.py:5: blurred: Args lacks image",
        "pictures/blur.py:2: blur_command: Args lacks image",
        "pictures/blur.py:5: blurred: Args lacks image",
    ]


def test_rooms_that_do_not_follow_yet_are_there():
    assert [name for name in SERVER if not (SOURCE / name).exists()] == []
