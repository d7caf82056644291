"""Text as the token arrays that a language model trains on and is judged by."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from panorax.core.errors import UserError
from panorax.core.ranges import Count, PositiveShare, checked
from panorax.data import batches as data
from panorax.data import corpus, tokenizer
from panorax.data.batches import padded


@checked
class Text:
    """Where text comes from and how it becomes tokens."""

    path: str | None = None
    """a UTF-8 text file or a folder of them; None for the standard library's sources and the Python reference"""
    part: Literal["all", "sources", "reference"] = "all"
    """part of the default corpus that is read without a path: the standard library's sources, the Python reference, or both"""
    tokenizer: Literal["bytes", "characters", "byte-pairs"] = "byte-pairs"
    """trained on the training documents, with at most model.vocab tokens"""
    held_out: PositiveShare = 0.04
    """share of the text kept apart, in whole documents"""
    at_most: Count | None = None
    """documents used, None for all"""

    def __post_init__(self):
        if not 0 < self.held_out < 1:
            raise ValueError(f"data.held-out must lie between 0 and 1, got {self.held_out}")


@dataclass(frozen=True)
class Tokens:
    """A corpus as ids, documents joined by the end token; `corpus` keeps the documents."""

    train: np.ndarray
    held_out: np.ndarray
    corpus: corpus.Corpus
    tokenizer: Any

    def files(self) -> dict[str, str]:
        """What a run keeps: the tokenizer, and the digest of the tokens by which a resumed run knows its data."""
        digest = hashlib.sha256(self.train.tobytes() + self.held_out.tobytes()).hexdigest()
        facts = {
            "train_tokens": len(self.train),
            "held_out_tokens": len(self.held_out),
            "sha256": digest,
        }
        return {
            "tokenizer.json": self.tokenizer.to_json(),
            "data.json": json.dumps(facts, indent=2) + "\n",
        }

    def held_out_batches(
        self, batch: int, length: int, stride: int
    ) -> Iterator[dict[str, np.ndarray]]:
        """The held-out tokens as batches of rows (B, T + 1) with weights (B, T), each token predicted once.

        "bytes" (B,) sums over all batches to the number of bytes of the held-out documents.
        """
        rows, weights = data.rows(self.held_out, length, stride)
        size = np.zeros(len(rows), np.float32)
        size[0] = len(joined(self.corpus.held_out))
        return padded({"rows": rows, "weights": weights, "bytes": size}, batch)


def dataset(cfg: Text, vocab: int, pretrained=None) -> Tokens:
    """Documents read, split and encoded by `pretrained`, or by a tokenizer trained on the training documents.

    Raises UserError for text that cannot be used.
    """
    documents = corpus.load(cfg.path, cfg.held_out, cfg.at_most, cfg.part)
    tokens = pretrained or tokenizer.train(cfg.tokenizer, documents.train, vocab)
    if tokens.vocab_size > vocab:
        raise UserError(
            f"the {type(tokens).__name__} tokenizer of this text needs a vocabulary of {tokens.vocab_size}: set --model.vocab to at least that"
        )
    encode = lambda texts: np.array(
        [i for text in texts for i in (tokens.end, *tokens.encode(text))] + [tokens.end], np.int32
    )
    return Tokens(encode(documents.train), encode(documents.held_out), documents, tokens)


def joined(documents: tuple[str, ...]) -> bytes:
    """Documents as one run of bytes, a zero byte after each: what byte-level baselines read."""
    return b"".join(text.encode() + b"\0" for text in documents)
