"""Text as token arrays for training and evaluating a language model."""

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
    """A corpus and its tokenizer."""

    path: str | None = None
    """UTF-8 text file, .jsonl file with a "text" field in each line, or folder of such files; None
    for the default corpus"""
    part: Literal["all", "sources", "reference"] = "all"
    """part of the default corpus: the standard library's sources, the language reference, or all"""
    tokenizer: Literal["bytes", "characters", "byte-pairs"] = "byte-pairs"
    """tokenizer, trained on the training documents, with at most model.vocab tokens"""
    held_out: PositiveShare = 0.04
    """share of the text that is held out, in whole documents, without a held-out file"""
    held_out_path: str | None = None
    """file or folder of the held-out text; None for the share, or for the val.txt beside a
    train.txt in the folder of the text"""
    at_most: Count | None = None
    """largest number of documents; None for all"""

    def __post_init__(self):
        if not 0 < self.held_out < 1:
            raise ValueError(f"data.held-out must lie between 0 and 1, got {self.held_out}")


@dataclass(frozen=True)
class Tokens:
    """A corpus as token ids.

    train, held_out: int32 ids of the documents, joined by the end token.
    corpus: the documents.  tokenizer: the tokenizer that encoded them.
    """

    train: np.ndarray
    held_out: np.ndarray
    corpus: corpus.Corpus
    tokenizer: Any

    def files(self) -> dict[str, str]:
        """Files that a run stores: the tokenizer, and a digest that identifies the tokens."""
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

    def summary(self) -> str:
        """One line: tokens and documents of both parts, what is held out, and the tokenizer."""
        documents = lambda texts: f"{len(texts):,} document{'' if len(texts) == 1 else 's'}"
        train, held_out = self.corpus.train, self.corpus.held_out
        kind, size = type(self.tokenizer).__name__, self.tokenizer.vocab_size
        return (
            f"data: {len(self.train):,} training tokens in {documents(train)}, "
            f"{len(self.held_out):,} held-out tokens in {documents(held_out)} "
            f"({self.corpus.split}); {kind} tokenizer of {size:,} tokens"
        )

    def held_out_batches(
        self, batch: int, length: int, stride: int
    ) -> Iterator[dict[str, np.ndarray]]:
        """Yields the held-out tokens as "rows" (B, T + 1) and "weights" (B, T), T = `length`.

        The weights count each token once. The sum of "bytes" (B,) over all batches is the size of
        the held-out documents in bytes.
        """
        rows, weights = data.rows(self.held_out, length, stride)
        size = np.zeros(len(rows), np.float32)
        size[0] = len(joined(self.corpus.held_out))
        return padded({"rows": rows, "weights": weights, "bytes": size}, batch)


def dataset(cfg: Text, vocab: int, pretrained=None) -> Tokens:
    """Reads, splits and encodes the documents.

    pretrained: tokenizer; None trains `cfg.tokenizer` on the training documents.
    Raises UserError if the text cannot be read or needs more than `vocab` tokens.
    """
    documents = load(cfg)
    tokens = pretrained or tokenizer.train(cfg.tokenizer, documents.train, vocab)
    if tokens.vocab_size > vocab:
        raise UserError(
            f"the {type(tokens).__name__} tokenizer of this text needs a vocabulary of "
            f"{tokens.vocab_size}: set --model.vocab to at least this size"
        )

    def encode(texts):
        ids = [i for text in texts for i in (tokens.end, *tokens.encode(text))]
        return np.array([*ids, tokens.end], np.int32)

    return Tokens(encode(documents.train), encode(documents.held_out), documents, tokens)


def load(cfg: Text) -> corpus.Corpus:
    """Reads and splits the documents."""
    return corpus.load(cfg.path, cfg.held_out, cfg.at_most, cfg.part, cfg.held_out_path)


def vocabulary(cfg: Text) -> int | None:
    """Size of the vocabulary that the tokenizer of a text needs; None if it may have any size."""
    if cfg.tokenizer == "byte-pairs":
        return None
    texts = load(cfg).train if cfg.tokenizer == "characters" else ()
    return tokenizer.train(cfg.tokenizer, texts, 0).vocab_size


def joined(documents: tuple[str, ...]) -> bytes:
    """Documents concatenated as bytes with a zero byte after each, for byte-level baselines."""
    return b"".join(text.encode() + b"\0" for text in documents)
