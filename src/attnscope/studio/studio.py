"""The studio: what it is asked for, the engine that does it, and the ledger that knows of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from attnscope.errors import ParameterError
from attnscope.files import whole_file
from attnscope.pictures.reading import load_picture
from attnscope.studio.asked import RunAsked
from attnscope.studio.engine import Engine
from attnscope.studio.ledger import Ledger
from attnscope.studio.messages import Job, MakePicture, ModelNamed, ReadPhoto
from attnscope.studio.rules import Rules
from attnscope.studio.runs import Kind, Run
from attnscope.studio.uploads import Uploads
from attnscope.viewer.shelf import Shelf

PHOTO = "photo.png"


class Studio:
    """Everything that happens in a studio; its methods may be called from any thread.

    Args:
        model: The model that makes pictures.
        folder: Where runs are kept, and are found again.
        shelf: Of the viewer; gets the trace of each run that is over.
        rules: What people may do.
    """

    def __init__(self, model: ModelNamed, folder: Path, shelf: Shelf, rules: Rules) -> None:
        self.rules = rules
        self.ledger = Ledger(folder, shelf, rules.keep)
        self.engine = Engine(model, self.ledger.hear)
        self.uploads = Uploads(folder)

    def start(self) -> None:
        """Take up earlier runs, and load the model."""
        self.ledger.open()
        self.engine.start()

    def close(self) -> None:
        """End the model's process; what is waiting is stopped."""
        self.ledger.close()
        self.engine.close()
        self.ledger.stop_the_rest()
        self.uploads.close()

    def make(self, asked: RunAsked, maker: str = "") -> Run:
        """Begin a picture.

        Args:
            asked: What to make.
            maker: Which browser asks.

        Raises:
            ParameterError: The prompt is empty.
            SelectionError: An earlier run that it needs is not there, or has no trace.
            BusyError: Too much is waiting.
        """
        if not asked.prompt.strip():
            raise ParameterError("the prompt is empty: type what the picture should show")
        earlier = {number: self.ledger.earlier(number) for number in asked.earlier}

        def job(run: Run) -> Job:
            return MakePicture(run.number, asked, run.folder, earlier)

        return self._submitted("picture", asked.prompt, job, asked=asked, maker=maker)

    def read(self, contents: bytes, text: str, maker: str = "") -> Run:
        """Begin to read a photo.

        Args:
            contents: Of its file.
            text: What is on it.
            maker: Which browser asks.

        Raises:
            ParameterError: There is no text, or the model can't read photos.
            ImageError: The file is no picture that can be read.
            BusyError: Too much is waiting.
        """
        if not text.strip():
            raise ParameterError("no text: type what is in the photo, such as 'a cat on a sofa'")
        if self.engine.facts is not None and self.engine.facts.no_photos:
            raise ParameterError(self.engine.facts.no_photos)
        photo = load_picture(contents)

        def job(run: Run) -> Job:
            with whole_file(run.folder / PHOTO) as partial:  # the page asks for it as soon as it is there
                photo.save(partial)
            return ReadPhoto(run.number, run.folder / PHOTO, text, run.folder)

        return self._submitted("photo", text, job, text=text, maker=maker)

    def stop(self, number: int) -> None:
        """Stop a run; what it has kept so far stays.

        Args:
            number: The run's.

        Raises:
            SelectionError: There is none of this number.
        """
        self.engine.stop(self.ledger.runs[number].number)

    def _submitted(
        self,
        kind: Kind,
        name: str,
        job_of: Callable[[Run], Job],
        *,
        maker: str,
        asked: RunAsked | None = None,
        text: str = "",
    ) -> Run:
        with self.ledger.lock:
            run = self.ledger.runs.begin(kind, name, asked=asked, text=text, maker=maker)
        try:
            self.engine.submit(job_of(run))  # outside of the lock: a large photo takes its time
        except Exception:
            with self.ledger.lock:
                self.ledger.runs.delete(run.number)
            raise
        self.ledger.make_room()
        return run
