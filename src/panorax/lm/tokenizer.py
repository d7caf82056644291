"""Text to token ids and back: bytes, characters, or byte-level byte-pair encoding trained on the corpus.

A tokenizer has `vocab_size`, `end` (the id between documents), `encode(text) -> ids`, `decode(ids) -> text` and `to_json()`.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from panorax.core.errors import UserError

END = "<|endoftext|>"


@dataclass(frozen=True)
class Bytes:
    """UTF-8 bytes as ids 0-255; every text can be encoded."""

    end: int = 256
    vocab_size: int = 257

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(i for i in ids if i < 256).decode("utf-8", "replace")

    def to_json(self) -> str:
        return json.dumps({"kind": "bytes"})


@dataclass(frozen=True)
class Characters:
    """The characters of the training text in the order of their code points; others become the replacement character, which is always there."""

    alphabet: str

    @classmethod
    def train(cls, texts: Iterable[str]) -> "Characters":
        return cls("".join(sorted({c for text in texts for c in text} | {"�"})))

    @property
    def vocab_size(self) -> int:
        return len(self.alphabet) + 1

    @property
    def end(self) -> int:
        return len(self.alphabet)

    def encode(self, text: str) -> list[int]:
        ids = {c: i for i, c in enumerate(self.alphabet)}
        return [ids.get(c, ids["�"]) for c in text]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(self.alphabet[i] for i in ids if i < len(self.alphabet))

    def to_json(self) -> str:
        return json.dumps({"kind": "characters", "alphabet": self.alphabet})


@dataclass(frozen=True)
class BytePairs:
    """Byte-level byte-pair encoding (Sennrich et al. 2016; Radford et al. 2019), by the `tokenizers` library; every text can be encoded."""

    _tokenizer: object = field(repr=False)

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> "BytePairs":
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

        if vocab_size < 257:
            raise UserError(f"byte-pair encoding needs a vocabulary of at least 257, got {vocab_size}")
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=[END], initial_alphabet=alphabet, show_progress=False)
        tokenizer.train_from_iterator(texts, trainer)
        return cls(tokenizer)

    @property
    def vocab_size(self) -> int:
        return self._tokenizer.get_vocab_size()

    @property
    def end(self) -> int:
        return self._tokenizer.token_to_id(END)

    def encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text).ids

    def decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode([int(i) for i in ids])

    def to_json(self) -> str:
        return json.dumps({"kind": "byte-pairs", "tokenizer": json.loads(self._tokenizer.to_str())})


TRAIN = {
    "bytes": lambda texts, vocab_size: Bytes(),
    "characters": lambda texts, vocab_size: Characters.train(texts),
    "byte-pairs": BytePairs.train,
}


def train(kind: str, texts: Sequence[str], vocab_size: int):
    """A tokenizer of this kind for these texts. Raises UserError where it needs more ids than `vocab_size`."""
    tokenizer = TRAIN[kind](texts, vocab_size)
    if tokenizer.vocab_size > vocab_size:
        raise UserError(f"the {kind} tokenizer of this text needs a vocabulary of {tokenizer.vocab_size}: set --model.vocab to at least that")
    return tokenizer


def from_json(text: str):
    """The tokenizer that `to_json` wrote."""
    stored = json.loads(text)
    if stored["kind"] == "byte-pairs":
        from tokenizers import Tokenizer

        return BytePairs(Tokenizer.from_str(json.dumps(stored["tokenizer"])))
    return {"bytes": lambda: Bytes(), "characters": lambda: Characters(stored["alphabet"])}[stored["kind"]]()
