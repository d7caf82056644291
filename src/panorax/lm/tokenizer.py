"""Subword tokenizers: byte-pair encoding and the unigram model, trained and applied.

Both are written out in `panorax.data.subwords` and measured on held-out documents:

    *_bytes_per_token_at_V   compression with a vocabulary of V tokens
    equal_merges, equal_ids  share of merges, and of documents, in which byte-pair encoding equals
                             the `tokenizers` library
    equal_splits             share of documents that the library splits alike with the probabilities
                             of the largest unigram model
    largest_fall             largest decrease of the log likelihood in an EM step, nats per byte
    *_round_trips            share of strings of random bytes that are decoded unchanged

Sources: Sennrich et al. 2016, arXiv:1508.07909; Radford et al. 2019; Kudo 2018, arXiv:1804.10959.
"""

import functools
import json
from collections.abc import Sequence

import numpy as np

from panorax.core import figures
from panorax.core.errors import UserError
from panorax.core.ranges import Count, PositiveShare, Whole, checked
from panorax.core.state import Result
from panorax.core.study import Part, family, numpy_generator
from panorax.data import corpus, tokenizer
from panorax.data.subwords import byte_pairs, unigram, words

SHOWN = "def tokenizers(text):  # the unbelievable naïveté of 1234567 splits"
"""the text whose splits are drawn"""


@checked
class Config:
    path: str | None = None
    """text file or folder, as `--data.path` of a language model; None for the default corpus"""
    held_out: PositiveShare = 0.04
    """share of the text that is held out"""
    at_most: Count | None = None
    """largest number of documents; None for all"""
    sizes: tuple[Count, ...] = (512, 1024, 2048, 4096, 8192)
    """vocabularies of byte-pair encoding, rising"""
    unigram_sizes: tuple[Count, ...] = (1024, 4096)
    """vocabularies of the unigram model, rising"""
    strings: Count = 200
    """strings of random bytes that are encoded and decoded"""
    seed: Whole = 0
    """seed of these strings"""

    def __post_init__(self):
        for sizes in (self.sizes, self.unigram_sizes):
            if not sizes or list(sizes) != sorted({*sizes}) or min(sizes) <= 256:
                raise UserError(f"vocabularies must rise and be above 256, got {sizes}")


@functools.lru_cache(maxsize=1)
def texts(cfg: Config) -> corpus.Corpus:
    """Training and held-out documents."""
    return corpus.load(cfg.path, cfg.held_out, cfg.at_most)


@functools.lru_cache(maxsize=1)
def pairs_of(cfg: Config) -> byte_pairs.BytePairs:
    """Byte-pair encoding with the largest vocabulary."""
    return byte_pairs.train(texts(cfg).train, cfg.sizes[-1])


def compression(encode, documents: Sequence[str]) -> float:
    """UTF-8 bytes per token."""
    return sum(len(text.encode()) for text in documents) / sum(len(encode(t)) for t in documents)


@functools.lru_cache(maxsize=1)
def reached_by_pairs(cfg: Config) -> dict[int, float]:
    """Compression of byte-pair encoding by vocabulary."""
    held_out = texts(cfg).held_out
    return {n: compression(pairs_of(cfg).first(n).encode, held_out) for n in cfg.sizes}


def by_pairs(key, cfg: Config) -> Result:
    """Byte-pair encoding beside the library, and its compression over the vocabulary."""
    documents, own = texts(cfg).held_out, pairs_of(cfg)
    library = tokenizer.BytePairs.train(texts(cfg).train, cfg.sizes[-1] + 1)  # and its end token
    learnt = json.loads(library.library.to_str())["model"]["merges"]
    merges = [[own.tokens[a], own.tokens[b]] for a, b in own.merges]
    same = [a == list(b) for a, b in zip(merges, learnt, strict=True)]
    shift = own.ids["!"] - library.library.token_to_id("!")
    ids = [own.encode(t) == [i + shift for i in library.encode(t)] for t in documents]
    metrics = {"equal_merges": float(np.mean(same)), "equal_ids": float(np.mean(ids))}
    metrics |= family("byte_pairs_bytes_per_token_at_{}", reached_by_pairs(cfg))
    lengths = np.array([len(token) for token in own.tokens])
    return Result(metrics, {"lengths.png": draw_lengths(lengths)})


def by_unigram(key, cfg: Config) -> Result:
    """The unigram model: EM, its splits beside the library, and its compression."""
    documents, fits, reached = texts(cfg).held_out, {}, {}
    for n in cfg.unigram_sizes:
        model, fits[n] = unigram.fit(texts(cfg).train, n)
        reached[n] = compression(model.encode, documents)
    library = model.in_library()
    same = [model.encode(text) == library.encode(text).ids for text in documents]
    falls = [-np.diff(round).min() for rounds in fits.values() for round in rounds]
    metrics = {"equal_splits": float(np.mean(same)), "largest_fall": float(max(0.0, *falls))}
    metrics |= family("unigram_bytes_per_token_at_{}", reached)
    pairs = pairs_of(cfg)
    splits = {
        "byte-pair encoding": [pairs.tokens[i] for i in pairs.encode(SHOWN)],
        "unigram": [model.tokens[i] for i in model.encode(SHOWN)],
    }
    curves = {"byte-pair encoding": reached_by_pairs(cfg), "unigram": reached}
    return Result(
        metrics,
        {
            "compression.png": draw_compression(curves),
            "likelihood.png": draw_fits(fits),
            "splits.png": draw_splits(splits),
        },
    )


def round_trips(key, cfg: Config) -> Result:
    """Strings of random bytes, most of them no UTF-8, through both tokenizers."""
    draw = numpy_generator(key)
    strings = [draw.bytes(draw.integers(0, 40)) for _ in range(cfg.strings)]
    models = {
        "byte_pairs": pairs_of(cfg),
        "unigram": unigram.fit(texts(cfg).train[:20], cfg.unigram_sizes[0])[0],
    }
    kept = {
        name: np.mean([model.decode(model.encode(words.text_of(s))) == s for s in strings])
        for name, model in models.items()
    }
    return Result(family("{}_round_trips", kept))


def draw_lengths(lengths: np.ndarray):
    """How many tokens have each number of bytes."""
    figure, (ax,) = figures.panels()
    ax.bar(*np.unique(np.minimum(lengths, 20), return_counts=True))
    ax.set(title="byte-pair encoding", xlabel="bytes of a token (20: and more)", ylabel="tokens")
    return figure


def draw_compression(curves: dict[str, dict[int, float]]):
    """Bytes per token over the vocabulary; 1 for bytes themselves."""
    figure, (ax,) = figures.panels()
    for name, reached in curves.items():
        ax.plot([256, *reached], [1.0, *reached.values()], "o-", label=name)
    ax.set(title="held-out documents", xlabel="tokens", ylabel="bytes per token", xscale="log")
    return figures.legends(figure)


def draw_fits(fits: dict[int, list[list[float]]]):
    """The log likelihood over the EM steps of training, a line per round of removals."""
    figure, axes = figures.panels(len(fits), sharey=True)
    for ax, (size, rounds) in zip(axes, fits.items(), strict=True):
        steps = 0
        for values in rounds:
            ax.plot(range(steps, steps + len(values)), values, "o-", ms=3)
            steps += len(values)
        ax.set(title=f"unigram model of {size:,} tokens", xlabel="EM step")
        ax.set(ylabel="log likelihood (nats per byte)")
    return figure


def draw_splits(splits: dict[str, list[str]]):
    """A line of text per tokenizer, its tokens in alternating colours."""
    figure, style = figures.blank(10.0, 1.2), {"va": "center", "fontsize": 9}
    for row, (name, tokens) in enumerate(splits.items()):
        x, y = 0.16, 1 - (row + 0.5) / len(splits)
        figure.text(0.01, y, name, **style)
        for i, token in enumerate(tokens):
            color = ("#cfe2f3", "#fce5cd")[i % 2]
            text = shown(token)
            box = {"facecolor": color, "edgecolor": "none", "pad": 1.5}
            figure.text(x, y, text, family="monospace", bbox=box, **style)
            x += 0.0076 * len(text) + 0.006
    return figure


def shown(token: str) -> str:
    """A token as text: spaces as open boxes, bytes that are no whole characters in hex."""
    data = words.joined([token])
    try:
        return data.decode().replace(" ", "␣")
    except UnicodeDecodeError:
        return data.hex().upper()


def study(cfg: Config) -> dict[str, Part]:
    """Both tokenizers on the text of `cfg`."""
    return {
        "byte_pairs": functools.partial(by_pairs, cfg=cfg),
        "unigram": functools.partial(by_unigram, cfg=cfg),
        "round_trips": functools.partial(round_trips, cfg=cfg),
    }
