"""Text encoders, tokenizers and autoencoders of tiny pipelines."""

from __future__ import annotations

from typing import Any

import torch

from attnscope.errors import ModelError
from attnscope.testing.tiny_models import KEYS, WORDS, sharpen

WIDE = 16
"""Channels of a text encoder."""
T5_KEYS = 12
HEADS, HEAD_DIM = 2, 8
LATENT_CHANNELS = 4


def tiny_t5_tokenizer(keys: int = T5_KEYS) -> Any:
    """T5's tokenizer with a vocabulary of a few words and letters.

    Args:
        keys: Tokens that it pads a prompt to where a pipeline names no number.

    Raises:
        ModelError: transformers is older than 5, which makes its tokenizers in another way.
    """
    import transformers
    from transformers import T5Tokenizer

    if int(transformers.__version__.partition(".")[0]) < 5:
        raise ModelError(
            f"tiny transformers need transformers 5 or newer, and {transformers.__version__} is installed: "
            'pip install "transformers>=5"'
        )
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -20.0)]
    words = [("▁" + word, -1.0) for word in WORDS]
    letters = [(letter, -9.0) for letter in "▁abcdefghijklmnopqrstuvwxyz"]
    return T5Tokenizer(vocab=special + words + letters, extra_ids=0, model_max_length=keys)


def tiny_t5_encoder(wide: int = WIDE, kind: str = "T5") -> Any:
    """T5's encoder.

    Args:
        wide: Its channels.
        kind: 'T5' or 'UMT5'.
    """
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=64, d_model=wide, d_ff=16, d_kv=8, num_heads=2, num_layers=1, decoder_start_token_id=0
    )
    return getattr(transformers, f"{kind}EncoderModel")(config).eval()


def tiny_clip_encoder(tokenizer: Any, *, projection: bool = False) -> Any:
    """CLIP's text encoder.

    Args:
        tokenizer: Its tokenizer.
        projection: Whether it projects its pooled output.
    """
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    torch.manual_seed(0)
    config = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=WIDE, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        projection_dim=WIDE, max_position_embeddings=KEYS, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config).eval()


def tiny_bert_tokenizer() -> Any:
    """BERT's tokenizer with a vocabulary of a few words and letters."""
    from transformers import BertTokenizer

    letters = [mark + letter for mark in ("", "##") for letter in "abcdefghijklmnopqrstuvwxyz"]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *letters]
    numbers = {token: number for number, token in enumerate(dict.fromkeys(vocabulary))}
    return BertTokenizer(vocab=numbers, model_max_length=KEYS)


def tiny_bert_encoder(wide: int = WIDE) -> Any:
    """BERT's encoder.

    Args:
        wide: Its channels.
    """
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=64, hidden_size=wide, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=KEYS,
    )  # fmt: skip
    return BertModel(config).eval()


def tiny_gemma_tokenizer() -> Any:
    """Gemma's tokenizer with a vocabulary of printable characters and a few words."""
    from tokenizers import processors
    from transformers import GemmaTokenizer

    merges = dict.fromkeys(merge for word in WORDS for merge in _merges("▁" + word))
    pieces = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", "\n", *map(chr, range(33, 127))]
    pieces += [left + right for left, right in merges]
    numbers = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = GemmaTokenizer(vocab=numbers, merges=list(merges))
    start = [("<bos>", numbers["<bos>"])]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        "<bos> $A", special_tokens=start
    )
    return tokenizer


def tiny_decoder(kind: str, wide: int = WIDE, words: int = 160, layers: int = 2) -> Any:
    """A language model that reads texts.

    Args:
        kind: The model's name in transformers, such as 'Gemma2' or 'Glm'.
        wide: Its channels.
        words: Its tokenizer's.
        layers: How many it has.
    """
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=words, hidden_size=wide, intermediate_size=16, num_hidden_layers=layers, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, pad_token_id=0, bos_token_id=2, eos_token_id=1,
    )  # fmt: skip
    return getattr(transformers, f"{kind}Model")(config).eval()


def tiny_glm_tokenizer() -> Any:
    """A tokenizer of a few words and letters that begins texts as GLM's does, and fills them up in front."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    starts = ["[gMASK]", "<sop>"]
    vocabulary = ["<|endoftext|>", "<unk>", *starts, *WORDS, *"bcdefghijklmnopqrstuvwxyz"]
    numbers = {token: number for number, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(numbers, unk_token="<unk>"))
    words = Regex(r"\b(" + "|".join(WORDS) + r")\b|\S")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(words, "removed", invert=True)
    special = [(start, numbers[start]) for start in starts]
    tokenizer.post_processor = processors.TemplateProcessing("[gMASK] <sop> $A", special_tokens=special)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<|endoftext|>", unk_token="<unk>", padding_side="left"
    )


QWEN_WORDS = 320
"""Room for the tokens of `tiny_qwen_tokenizer`."""
_QWEN_SIGNS = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>")
_QWEN_CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.content is string %}{{ message.content }}{% else %}{{ message.content[0].text }}{% endif %}"
    "<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)


def tiny_qwen_tokenizer() -> Any:
    """Qwen's tokenizer with all bytes and a few words, and a chat's template."""
    from tokenizers import pre_tokenizers
    from transformers import Qwen2Tokenizer

    starts = ("\u0120", "")  # a space before the word
    merges = dict.fromkeys(merge for word in WORDS for start in starts for merge in _merges(start + word))
    pieces = ["<|endoftext|>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    pieces += dict.fromkeys(left + right for left, right in merges)
    numbers = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Qwen2Tokenizer(vocab=numbers, merges=list(merges), chat_template=_QWEN_CHAT)
    tokenizer.add_special_tokens({"additional_special_tokens": list(_QWEN_SIGNS)})
    return tokenizer


def _merges(piece: str) -> list[tuple[str, str]]:
    """How a piece is joined, letter after letter."""
    return [(piece[:at], piece[at]) for at in range(1, len(piece))]


def tiny_vae(channels: int = LATENT_CHANNELS, **changes: Any) -> Any:
    """An autoencoder of 8 pixels to a latent place.

    Args:
        channels: Of the latent.
        **changes: Options of diffusers' AutoencoderKL to change.
    """
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    settings = {
        "block_out_channels": (4, 8, 8, 8), "norm_num_groups": 2, "latent_channels": channels, "sample_size": 128,
        "down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4,
    }  # fmt: skip
    return AutoencoderKL(**{**settings, **changes}).eval()


def shifted_vae() -> Any:
    """An autoencoder with a shift, as Stable Diffusion 3 and Flux have."""
    return tiny_vae(shift_factor=0.0609, scaling_factor=1.5305)


def sharp(transformer: Any) -> Any:
    """Weights that a fresh model has as zeros made random, and attention far from even.

    Args:
        transformer: Changed in place.
    """
    with torch.no_grad():
        for parameter in transformer.parameters():
            if parameter.count_nonzero() == 0:
                parameter.normal_(std=0.2)
        for name, parameter in transformer.named_parameters():
            if name.endswith(("norm_q.weight", "norm_added_q.weight")):
                parameter.mul_(4)
    sharpen(transformer)
    return transformer


def quiet(pipe: Any) -> Any:
    """A pipeline without a progress bar.

    Args:
        pipe: Changed in place.
    """
    pipe.set_progress_bar_config(disable=True)
    return pipe
