"""Prompts of every kind, made at random, and tokenizers for them."""

import random
import unicodedata

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

WORDS = [
    *(
        "a",
        "red",
        "cat",
        "cats",
        "cat's",
        "dog's",
        "photo",
        "photo-realistic",
        "state-of-the-art",
        "don’t",
        "l'été",
    ),
    *(
        "rock'n'roll",
        "café",
        "Ünïcode",
        "straße",
        "İstanbul",
        "naïve",
        "1girl",
        "blue_hair",
        "long_blue_hair",
        "3d",
    ),
    *(
        "4k",
        "50mm",
        "f1",
        "sci-fi",
        "x-ray",
        "A",
        "CAT",
        "über",
        "Καλημέρα",
        "кошка",
        "собака-кошка",
        "قطة",
        "חתול",
    ),
    *(
        "कमलों",
        "हिन्दी",
        "தமிழ்",
        "می\u200cخواهم",
        "一只猫和一只狗",
        "猫",
        "赤い家と太陽",
        "東京タワー",
        "แมว",
        "แมวดำ",
    ),
    *(
        "ภาพวาด",
        "고양이",
        "고양이가",
        "무지개",
        "ខ្មែរ",
        "👍",
        "👍🏽",
        "👨\u200d👩\u200d👧",
        "❤\ufe0f",
        "❤",
        "🇩🇪",
        "🇫🇷🇮🇹",
    ),
    *("😂😂😂", "1\ufe0f\u20e3", "☀", "ﬁsh", "½", "e\u0301\u0323", "<toy>", "<my-toy>", "embedding:style"),
    "photo\u00adreal",
]
WEIGHTED = [
    *("({}:1.3)", "(({}))", "[{}]", "({})1.5", "{}++", "{}--", '("{}", "{}").and()', "BREAK {}", "[{}|{}]"),
    *("{{{}}}", "<lora:{}:1>"),
]
BETWEEN = [
    *(
        " ",
        " ",
        " ",
        " ",
        "  ",
        ", ",
        ",",
        ". ",
        "\n",
        " \t",
        "! ",
        "...",
        "/",
        " - ",
        "—",
        "，",
        "、",
        "\u3000",
    ),
    *(": ", '" "'),
]


def made_prompt(seed):
    """A prompt of words of all kinds, punctuation, weights, and white space; composed or not; often too long."""
    chosen = random.Random(seed)
    prompt = chosen.choice(["", "", "", " ", '"', "\u200b"])
    for _ in range(chosen.choice([1, 3, 5, 8, 8, 12, 40])):
        words = [chosen.choice(WORDS) for _ in range(2)]
        form = chosen.choice(WEIGHTED) if chosen.random() < 0.15 else "{}"
        prompt += form.format(*words) + chosen.choice(BETWEEN)
    form = chosen.choice(["NFC", "NFD", "NFC", "NFKC"])
    return unicodedata.normalize(form, prompt) if chosen.random() < 0.8 else prompt


def clip_like():
    """CLIP's own normalizer, splits and byte-level pairs, learned from the words above."""
    start, end = special = ["<|startoftext|>", "<|endoftext|>"]
    pairs = {"end_of_word_suffix": "</w>", "continuing_subword_prefix": ""}
    tokenizer = Tokenizer(models.BPE(unk_token=end, **pairs))
    spaces = normalizers.Replace(Regex(r"\s+"), " ")
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), spaces, normalizers.Lowercase()])
    parts = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    split = pre_tokenizers.Split(Regex(parts), behavior="removed", invert=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=900, special_tokens=special, initial_alphabet=alphabet, show_progress=False, **pairs
    )
    tokenizer.train_from_iterator(WORDS * 2, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}", special_tokens=[(start, 0), (end, 1)]
    )
    return _fast(tokenizer, 77, bos_token=start, eos_token=end, pad_token=end, unk_token=end)


def t5_like():
    """T5's: pieces with the space before them, no start, one end, padding of its own, and no length."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=400, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(WORDS * 2, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return _fast(tokenizer, int(1e30), eos_token="</s>", pad_token="<pad>", unk_token="<unk>")


def _fast(tokenizer, length, **names):
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=length, **names)
