"""Small Hugging Face folders with the files of published models."""

import json

import jax
import numpy as np
import pytest
from weights import QWEN, UNTIED, drawn

from panorax.core import spec as core_spec
from panorax.interop import hf_config, hf_weights
from panorax.nets.decoders import decoder

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
    """A byte-level BPE of 300 tokens that starts every text with <s>."""
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
    """A function that writes the tokenizer's files into a folder and returns the folder.

    The arguments are added to config.json, tokenizer_config.json and generation_config.json. The
    last file is not written if `generation_config` is None.
    """

    def write(
        directory, config=None, tokenizer_config=None, generation_config=None, tokens=byte_level
    ):
        directory.mkdir(exist_ok=True)
        special = {
            "bos_token": "<s>",
            "eos_token": {"content": "<|end|>", "lstrip": False, "special": True},
            "pad_token": None,
            "chat_template": TEMPLATE,
        }
        (directory / "tokenizer.json").write_text(tokens.to_str())
        settings = special | (tokenizer_config or {})
        (directory / "tokenizer_config.json").write_text(json.dumps(settings))
        (directory / "config.json").write_text(json.dumps(config or {}))
        if generation_config is not None:
            (directory / "generation_config.json").write_text(json.dumps(generation_config))
        return directory

    return write


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """A folder with the untied model in one file."""
    directory = tmp_path_factory.mktemp("whole")
    hf_weights.save(directory, drawn(UNTIED), UNTIED)
    return directory


@pytest.fixture
def sharded(tmp_path):
    """A folder with the untied model in several shards."""
    hf_weights.save(tmp_path, drawn(UNTIED), UNTIED, shard_bytes=2500)
    return tmp_path


@pytest.fixture
def small(write_tokenizer, tmp_path):
    """A folder of a small random Qwen 2 with scaled rotary embeddings."""
    directory = write_tokenizer(tmp_path / "small", hf_config.write(QWEN, 64))
    rng = np.random.default_rng(0)
    draw = lambda x: rng.normal(scale=0.3, size=x.shape).astype(np.float32)
    params = jax.tree.map(draw, core_spec.abstract(decoder.spec(QWEN)))
    hf_weights.save(directory, params, QWEN)
    return directory
