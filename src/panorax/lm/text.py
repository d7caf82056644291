"""Text as the token arrays that a language model trains on and is judged by."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from panorax.core import data
from panorax.core.errors import UserError
from panorax.core.ranges import Count, PositiveShare
from panorax.interop import hf_text
from panorax.lm import corpus, tokenizer


@dataclass(frozen=True)
class Text:
    """Where text comes from and how it becomes tokens."""

    path: str | None = None
    """a UTF-8 text file or a folder of them; None for the standard library's sources and the Python reference"""
    tokenizer: Literal["bytes", "characters", "byte-pairs"] = "byte-pairs"
    """trained on the training documents, with at most model.vocab tokens"""
    pretrained: str | None = None
    """a Hugging Face folder whose tokenizer.json is used, instead of one trained here"""
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
        facts = {"train_tokens": len(self.train), "held_out_tokens": len(self.held_out), "sha256": digest}
        return {"tokenizer.json": self.tokenizer.to_json(), "data.json": json.dumps(facts, indent=2) + "\n"}

    def held_out_batch(self, batch: int, length: int, stride: int) -> dict[str, np.ndarray]:
        """The held-out tokens as rows (n, B, T + 1) with weights (n, B, T), each token predicted once, and the bytes they stand for."""
        rows, weights = data.rows(self.held_out, length, stride)
        n = -(-len(rows) // batch)
        fill = lambda x: np.concatenate([x, np.zeros((n * batch - len(x), x.shape[1]), x.dtype)]).reshape(n, batch, -1)
        return {"rows": fill(rows), "weights": fill(weights), "bytes": np.float32(len(joined(self.corpus.held_out)))}


def dataset(cfg: Text, vocab: int) -> Tokens:
    """Read, split, train the tokenizer on the training side, encode both. Raises UserError for text that cannot be used."""
    documents = corpus.load(cfg.path, cfg.held_out, cfg.at_most)
    tokens = tokenizer.train(cfg.tokenizer, documents.train, vocab) if cfg.pretrained is None else hf_text.tokenizer(Path(cfg.pretrained))
    if tokens.vocab_size > vocab:
        raise UserError(f"the {type(tokens).__name__} tokenizer of this text needs a vocabulary of {tokens.vocab_size}: set --model.vocab to at least that")
    encode = lambda texts: np.array([i for text in texts for i in (tokens.end, *tokens.encode(text))] + [tokens.end], np.int32)
    return Tokens(encode(documents.train), encode(documents.held_out), documents, tokens)


def joined(documents: tuple[str, ...]) -> bytes:
    """Documents as one run of bytes, a zero byte after each: what byte-level baselines read."""
    return b"".join(text.encode() + b"\0" for text in documents)
