"""What is said of a picture's words: plain data, sentences, pictures."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from attnscope.errors import ParameterError, WordError
from attnscope.explaining.pictures import pictures_of, plotted
from attnscope.explaining.report import WordReport
from attnscope.explaining.sentences import limits, run_sentences, word_sentences
from attnscope.explaining.shares import Budget
from attnscope.explaining.wording import Language, check_language

if TYPE_CHECKING:
    from PIL.Image import Image

    from attnscope.segmentation.result import Segmentation


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """What attention says of a picture and the words of its prompt.

    Attributes:
        prompt: The text.
        model: The model's name, None if unknown.
        words: Every word of the text, in order, and phrases that were asked for.
        asked: Those that are told of in sentences.
        budget: What the attention of the picture went to.
        steps: Numbers of the steps that were captured.
        edits: What was changed of the run's attention, as text.
        is_measured: Whether the rule for verdicts was measured on this model.
        segments: The segments of the picture, None without self-attention.
        picture: The picture, None if the trace holds none.
        repeated: How much the run made again differs from the picture, in levels of 255; None if it was not.
    """

    prompt: str
    model: str | None
    words: tuple[WordReport, ...]
    asked: tuple[WordReport, ...]
    budget: Budget
    steps: tuple[int, ...]
    edits: tuple[str, ...]
    is_measured: bool
    segments: Segmentation | None = None
    picture: Image | None = None
    repeated: float | None = None

    @property
    def word(self) -> WordReport:
        """The word that was asked for.

        Raises:
            ParameterError: All were.
        """
        if len(self.asked) != 1:
            raise ParameterError(
                f"{len(self.asked)} words are explained: take one of .words, or explain(trace, word)"
            )
        return self.asked[0]

    @property
    def not_drawn(self) -> tuple[str, ...]:
        """The words that were not drawn, as far as attention shows."""
        return tuple(report.word for report in self.words if report.verdict.says == "not drawn")

    def __getitem__(self, word: str) -> WordReport:
        """The report of a word, as it stands in the prompt; of one that comes twice the first."""
        for report in self.words:
            if report.word.casefold() == word.casefold():
                return report
        raise WordError(
            f"no word {word!r}: words are {', '.join(repr(report.word) for report in self.words)}"
        )

    def about(self, *words: WordReport) -> Explanation:
        """The same explanation, told of other words.

        Args:
            words: Some of `.words`.
        """
        return replace(self, asked=words)

    def paragraphs(self, language: Language = "en") -> list[list[str]]:
        """What is known, in plain sentences with numbers: of each word that is explained, of the run, of limits.

        Args:
            language: "en" or "ja".

        Raises:
            ParameterError: It is another language.
        """
        check_language(language)
        of_words = [word_sentences(report, self.is_measured) for report in self.asked]
        of_run = run_sentences(self.budget, self.edits, self.repeated)
        return [
            [sentence.in_language(language) for sentence in paragraph]
            for paragraph in (*of_words, of_run, limits(self.is_measured))
        ]

    def sentences(self, language: Language = "en") -> list[str]:
        """The same as one list.

        Args:
            language: "en" or "ja".

        Raises:
            ParameterError: It is another language.
        """
        return [sentence for paragraph in self.paragraphs(language) for sentence in paragraph]

    def text(self, language: Language = "en") -> str:
        """The same as one text, which `print(explanation)` shows in English.

        Args:
            language: "en" or "ja".

        Raises:
            ParameterError: It is another language.
        """
        return "\n\n".join("\n".join(paragraph) for paragraph in self.paragraphs(language))

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        verdicts = ", ".join(f"{report.word}: {report.verdict.says}" for report in self.asked)
        return f"<Explanation of {self.prompt!r}; {verdicts}>"

    def to_dict(self, language: Language = "en") -> dict[str, Any]:
        """Everything but the pixels, as plain values for JSON; shares are 0..1, differences of 255 levels.

        Args:
            language: Of sentences, "en" or "ja".

        Raises:
            ParameterError: It is another language.
        """
        return {
            "prompt": self.prompt,
            "model": self.model,
            "steps": list(self.steps),
            "edits": list(self.edits),
            "is_measured": self.is_measured,
            "not_drawn": list(self.not_drawn),
            "budget": {**asdict(self.budget), "lost": self.budget.lost},
            "asked": [report.word for report in self.asked],
            "words": [report.to_dict(language) for report in self.words],
            "repeated": self.repeated,
            "segments": None if self.segments is None else len(self.segments),
            "sentences": self.sentences(language),
        }

    def pictures(self) -> list[tuple[Image, str, str]]:
        """What there is to see: pictures, each with a caption and a note."""
        return pictures_of(self.asked, self.picture, self.segments)

    def plot(self, ax: Any = None) -> Any:
        """Draw all pictures side by side with matplotlib, and return the axes.

        Args:
            ax: As many matplotlib axes as there are `pictures()`. Default: a new figure.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        return plotted(self.pictures(), ax)
