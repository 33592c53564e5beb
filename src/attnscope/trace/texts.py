"""Which text a guidance branch of a run reads, and why a word of it may be unknown."""

from __future__ import annotations

from dataclasses import dataclass

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
        second: Another prompt, which a second text encoder read; '' if there was none.
    """

    branch: str
    name: str | None
    text: str | None
    tokens: tuple[Token, ...]
    unnamed: str | None = None
    second: str = ""

    @property
    def words(self) -> tuple[TokenSpan, ...]:
        """Its words that were read whole, () if they are unknown."""
        return prompt_words(self.text, self.tokens) if self.text and are_named(self.tokens) else ()

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
                raise self._explained(error, word) from None
        raise WordError(f"no word {word!r}: {self._why_unknown()}{by_number(self.tokens)}")

    def _explained(self, error: WordError, word: str) -> WordError:
        if self.second and read_prompt(self.second, ()).matches(word):
            return WordError(
                f"no word {word!r} in the {self.name} {self.text!r}: it stands in the second prompt, "
                f"{self.second!r}, which shares its keys; for words of that one capture with prompt={self.second!r}"
            )
        if self.text == "":
            return WordError(f"{error}, so the branch {self.branch!r} reads no words")
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
                f"it, capture(pipe, {self.name.replace(' ', '_')}=...)"
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
    second = run.second_prompts if is_prompt else []
    number = image // run.frames
    return ReadText(
        branch,
        name,
        texts[number] if 0 <= number < len(texts) else None,
        tokens[number] if 0 <= number < len(tokens) else (),
        run.unnamed,
        second[number] if 0 <= number < len(second) else "",
    )
