"""Byte-pair encoding in plain Python beside the tokenizers library: kilobytes of text per second.

One case trains on the default corpus, the other encodes its held-out documents. The library keeps
its cache of words between rounds; Panorax has one per document.
"""

import importlib.metadata
import os
from pathlib import Path

from panorax.bench.rounds import compare
from panorax.bench.table import Table
from panorax.core.ranges import Count, checked
from panorax.data import corpus, tokenizer
from panorax.data.subwords import byte_pairs

CONTENDERS = {
    "panorax": "panorax.bench.lm.tokenizer:by_panorax",
    "tokenizers": "panorax.bench.lm.tokenizer:by_tokenizers",
}


@checked
class Config:
    """The vocabulary and the text."""

    vocab: Count = 8192
    """tokens of the vocabulary"""
    documents: Count | None = None
    """documents of the corpus; None for all"""
    rounds: Count = 5
    """counted rounds"""


def benchmark(cfg: Config, folder: Path) -> Table:
    """Compares encoding and training; ratios of the table are to tokenizers."""
    table = Table("kB/s")
    for case in ("encode", "train"):
        measured = compare(CONTENDERS, vars(cfg) | {"case": case}, folder, cfg.rounds)
        table.add(case, measured, "tokenizers")
        ids = [rounds.facts["tokens"] for rounds in measured.values()]
        table.metrics[f"{case}_equal_tokens"] = float(ids[0] == ids[1])
    return table


def by_panorax(setting: dict, folder: Path):
    """`panorax.data.subwords.byte_pairs`."""
    train = lambda texts: byte_pairs.train(texts, setting["vocab"])
    version = importlib.metadata.version("panorax")
    return working(train, lambda model: len(model.tokens), version, setting)


def by_tokenizers(setting: dict, folder: Path):
    """The library, through `panorax.data.tokenizer`, without its threads."""
    import tokenizers

    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    train = lambda texts: tokenizer.BytePairs.train(texts, setting["vocab"] + 1)
    return working(train, lambda model: model.vocab_size - 1, tokenizers.__version__, setting)


def working(train, size, version: str, setting: dict):
    """Facts and work of one contender. train(texts) -> model; size(model): its tokens."""
    texts = corpus.load(None, 0.04, setting["documents"])
    facts, model = {"version": version}, train(texts.train)
    of_case = {
        "train": (texts.train, lambda documents: size(train(documents))),
        "encode": (texts.held_out, lambda documents: sum(len(model.encode(t)) for t in documents)),
    }
    documents, tokens = of_case[setting["case"]]

    def work():
        facts["tokens"] = tokens(documents)
        return sum(len(text.encode()) for text in documents) / 1e3

    return facts, work
