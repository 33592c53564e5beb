import pytest
from PIL import Image

from attnscope.cli import main


@pytest.fixture
def run(capsys, monkeypatch):
    """Runs one command; gives exit code, stdout and stderr. Nobody has set the screen's width."""
    monkeypatch.delenv("COLUMNS", raising=False)

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture(scope="session")
def model(_shared_pipe, tmp_path_factory):
    """Folder of the tiny pipeline."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    _shared_pipe.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def made(model, tmp_path_factory):
    """What `attnscope generate` wrote for "a red cat on a star", two steps."""
    folder = tmp_path_factory.mktemp("made") / "output"
    arguments = [
        "generate",
        "a red cat on a star",
        "--model",
        str(model),
        "-o",
        str(folder),
        "-n",
        "2",
        "-s",
        "5",
    ]
    assert main(arguments) == 0
    return folder


@pytest.fixture
def photo(tmp_path):
    """A picture of 96x64 pixels (height x width): two halves."""
    image = Image.new("RGB", (64, 96), "darkgreen")
    image.paste("orange", (0, 0, 64, 40))
    image.save(tmp_path / "photo.png")
    return tmp_path / "photo.png"
