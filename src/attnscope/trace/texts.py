"""Which text a guidance branch of a run reads, and why a word of it may be unknown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from attnscope.errors import WordError
from attnscope.records import Run, Token, TokenSpan
from attnscope.records.run import text_of_branch
from attnscope.trace.reading import read_prompt
from attnscope.trace.tokens import are_named
from attnscope.trace.words import ROLES, by_number, find_span, prompt_words


@dataclass(frozen=True)
class ReadText:
    """The text that one branch of one image reads.

    Attributes:
        branch: The branch.
        name: 'prompt' or 'negative prompt'; None for a branch that the user named.
        text: None if it is unknown.
        tokens: Its tokens, () if not even their number is known.
        unnamed: Why its tokens have no names, None if nobody said.
        second: Another text, which a second encoder read; '' if there was none.
        second_tokens: Its tokens, () where there is none.
        others: What the same branch of the run's other images reads, by the image's number.
    """

    branch: str
    name: str | None
    text: str | None
    tokens: tuple[Token, ...]
    unnamed: str | None = None
    second: str = ""
    second_tokens: tuple[Token, ...] = ()
    others: Mapping[int, str] = field(default_factory=dict)

    @property
    def words(self) -> tuple[TokenSpan, ...]:
        """Its words that were read whole, () if they are unknown; then those that only the second text has."""
        first = prompt_words(self.text, self.tokens) if self.text and are_named(self.tokens) else ()
        known = {span.word.casefold() for span in first}
        return (*first, *(span for span in self._second_words if span.word.casefold() not in known))

    @property
    def _second_words(self) -> tuple[TokenSpan, ...]:
        named = self.second and are_named(self.second_tokens)
        return prompt_words(self.second, self.second_tokens) if named else ()

    def known_words(self) -> tuple[TokenSpan, ...]:
        """Its words, () only if it has none.

        Raises:
            WordError: Its words are unknown.
        """
        if self.text is None or (self.text.strip() and not are_named(self.tokens)):
            raise WordError(f"{self._why_unknown()}{by_number(self.tokens)}")
        return self.words

    def span(self, word: str, occurrence: int = 0) -> TokenSpan:
        """The tokens of a word.

        Args:
            word: The word.
            occurrence: Which one of several such words, from 0.

        Raises:
            WordError: It has no such word, or its words are unknown.
        """
        is_role = isinstance(word, str) and word.strip().lower() in ROLES
        if (self.text is not None or is_role) and are_named(self.tokens):
            try:
                whose = f"the {self.name}"
                return find_span(self.text or "", self.tokens, word, occurrence=occurrence, whose=whose)
            except WordError as error:
                if (found := self._span_of_second(word, occurrence)) is not None:
                    return found
                raise self._explained(error, word) from None
        raise WordError(f"no word {word!r}: {self._why_unknown()}{by_number(self.tokens)}")

    def _span_of_second(self, word: str, occurrence: int) -> TokenSpan | None:
        """The word in the second text; None where that lacks it, or its tokens are unknown."""
        if not self.second or not are_named(self.second_tokens):
            return None
        try:
            return find_span(self.second, self.second_tokens, word, occurrence=occurrence)
        except WordError:
            return None

    def _explained(self, error: WordError, word: str) -> WordError:
        if self.second and read_prompt(self.second, ()).matches(word):
            return WordError(
                f"no word {word!r} in the {self.name} {self.text!r}: it stands in the second one, {self.second!r}, "
                f"whose tokens are unknown; for words of that one capture with prompt={self.second!r}"
            )
        if self.text == "":
            return WordError(f"{error}, so the branch {self.branch!r} reads no words")
        for image, text in self.others.items():
            if read_prompt(text, ()).matches(word):
                return WordError(
                    f"{error}; image {image} has it: its {self.name} is {text!r}, give image={image}"
                )
        return error

    def _why_unknown(self) -> str:
        if self.name is None:
            return (
                f"which text the branch {self.branch!r} reads is unknown; words are known of branches that are named "
                "'cond' and 'uncond'"
            )
        if self.text is None and not self.tokens:
            return (
                f"this trace holds no {self.name}: the model was called directly, or an earlier version of attnscope "
                "captured it"
            )
        if self.text is None:
            return (
                f"the {self.name} was not seen, as the run got embeddings or encodes texts in a way of its own; tell "
                f"it with {self.name.replace(' ', '_')}=..., an argument of capture and of edit"
            )
        if not self.text.strip():
            return f"the {self.name} is empty, so the branch {self.branch!r} reads no words"
        because = f", because {self.unnamed}" if self.unnamed else ""
        return f"the tokens of the {self.name} {self.text!r} are unknown{because}"


def read_text(run: Run, branch: str, image: int) -> ReadText:
    """The text that one branch of one image reads.

    Args:
        run: The run.
        branch: Guidance branch.
        image: Which image of the batch, from 0. Frames of a video have one text.
    """
    name = text_of_branch(branch)
    if name is None:
        return ReadText(branch, None, None, ())
    is_prompt = name == "prompt"
    texts = run.prompts if is_prompt else run.negative_prompts
    tokens = run.tokens if is_prompt else run.negative_tokens
    second = run.second_prompts if is_prompt else run.second_negative_prompts
    second_tokens = run.second_tokens if is_prompt else run.second_negative_tokens
    number = image // run.frames
    return ReadText(
        branch,
        name,
        texts[number] if 0 <= number < len(texts) else None,
        tokens[number] if 0 <= number < len(tokens) else (),
        run.unnamed,
        second[number] if 0 <= number < len(second) else "",
        second_tokens[number] if 0 <= number < len(second_tokens) else (),
        {at * run.frames: text for at, text in enumerate(texts) if at != number and text},
    )
