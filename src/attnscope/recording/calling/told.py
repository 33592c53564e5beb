"""What a user says that the text encoders read, where embeddings were made elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from attnscope.errors import ParameterError

Texts = str | Sequence[str] | None


class Told(NamedTuple):
    """What a user says that the encoder read, for embeddings from elsewhere: one text, or one an image."""

    prompt: Texts = None
    negative_prompt: Texts = None


def check_told(told: Told, *, has_pipeline: bool) -> Told:
    """Refuse what is no text, or what no tokenizer could be asked about.

    Args:
        told: What the user says.
        has_pipeline: Whether a pipeline is captured, and not a bare model.

    Raises:
        ParameterError: It is no text, or there is no pipeline.
    """
    for name, texts in told._asdict().items():
        if texts is None:
            continue
        listed = [texts] if isinstance(texts, str) else list(texts)
        if not listed or not all(isinstance(text, str) for text in listed):
            raise ParameterError(f"{name} {texts!r}: expected a text, or one for each image")
        if not has_pipeline:
            raise ParameterError(
                f"{name} {texts!r}: only a pipeline has the tokenizer that it needs; capture the pipeline, and name "
                "the guidance rows with branches= where it does not call the model itself"
            )
    return told
