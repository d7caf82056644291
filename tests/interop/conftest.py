"""A Hugging Face folder as published models have it, small enough to be written for a test."""

import json

import pytest

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
TEXTS = [
    "the cat sat on the mat and the dog sat on the log",
    "an émoji 🙂 is four bytes and é is two",
] * 4
SPECIAL = ["<s>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]


@pytest.fixture(scope="session")
def byte_level():
    """A byte-level BPE of 300 tokens that puts <s> before a text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokens = Tokenizer(models.BPE())
    tokens.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokens.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokens.train_from_iterator(
        TEXTS,
        trainers.BpeTrainer(
            vocab_size=300, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
        ),
    )
    tokens.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )
    return tokens


@pytest.fixture
def write_tokenizer(byte_level):
    """Write the tokenizer's files into a folder; `config`, `said` and `drawn` are added to config.json, tokenizer_config.json and
    generation_config.json, which is left out where `drawn` is None."""

    def write(directory, config=None, said=None, drawn=None, tokens=byte_level):
        directory.mkdir(exist_ok=True)
        special = {
            "bos_token": "<s>",
            "eos_token": {"content": "<|end|>", "lstrip": False, "special": True},
            "pad_token": None,
            "chat_template": TEMPLATE,
        }
        (directory / "tokenizer.json").write_text(tokens.to_str())
        (directory / "tokenizer_config.json").write_text(json.dumps(special | (said or {})))
        (directory / "config.json").write_text(json.dumps(config or {}))
        if drawn is not None:
            (directory / "generation_config.json").write_text(json.dumps(drawn))
        return directory

    return write
