"""Word embedding: vectors of words from the words near them, by two methods.

Random vectors in many dimensions are nearly orthogonal: at first no word is related to another.
Training turns vectors of words with similar contexts towards each other.

    related_cosine_*          mean cosine of the pairs `related`, before training (at_first), after
                              it (skip_gram), and of factors of mutual information (factorised)
    unrelated_cosine_*        mean cosine of random pairs of frequent words
    centred_unrelated_cosine_*   the same without the mean vector, as trained vectors share a
                              direction
    analogies_*               share of analogies a : as = b : bs whose last word has the largest
                              cosine with as - a + b, without the words of the question
    information_correlation   of u_c v_w with the mutual information of w and c minus log k, over
                              pairs that occur at least `often` times
    optimum_gap               largest distance of both for a few words, if the expected loss is
                              minimised with as many dimensions as words

Source: Mikolov et al. 2013, arXiv:1310.4546; Levy & Goldberg 2014 (NeurIPS). The common direction:
Mimno & Thompson 2017 (EMNLP).
"""

import functools
from collections.abc import Iterator

import jax
import numpy as np
import optax

from panorax.core import figures
from panorax.core.errors import UserError
from panorax.core.ranges import Count, Positive, PositiveShare, Whole, checked
from panorax.core.state import Result
from panorax.core.study import Part, family, numpy_generator
from panorax.data import corpus
from panorax.theory.word_embedding import skip_gram
from panorax.theory.word_embedding.evaluation import (
    analogies,
    cosines,
    neighbours,
    random_pairs,
    related_pairs,
    solved_share,
)
from panorax.theory.word_embedding.skip_gram import Vectors
from panorax.theory.word_embedding.word_pairs import Words, cooccurrence, pairs, words_of

RELATED = (
    "true:false min:max read:write open:close left:right start:end encode:decode lower:upper "
    "int:float list:tuple key:value hour:minute year:month add:remove first:last input:output "
    "source:target width:height send:recv load:dump local:global get:set row:column host:port "
    "request:response parent:child stdin:stdout begin:end push:pop"
)
CHUNK = 100  # batches in a compiled call
EXAMPLES = ("true", "read", "file", "error", "list", "month")  # words whose neighbours are shown
QUANTILES = (0.25, 0.5, 0.75)  # of the cosines of related pairs, in the figure


@checked
class Config:
    path: str | None = None
    """UTF-8 text file or folder; None for the default corpus"""
    least: Count = 30
    """smallest number of occurrences of a word"""
    most: Count = 5000
    """largest number of words, of which the most frequent are kept; memory grows as its square"""
    width: Count = 100
    """dimensions of a vector [D]"""
    window: Count = 5
    """largest distance between a word and its context, in words"""
    threshold: PositiveShare = 1e-3
    """frequency above which occurrences of a word are left out at random [t]"""
    negatives: Count = 5
    """negative words of a pair [k]"""
    batch: Count = 2048
    """pairs in an update [B]"""
    readings: Count = 3
    """readings of the corpus"""
    rate: Positive = 1e-2
    """learning rate of Adam at the first update; it falls linearly to 0"""
    related: tuple[str, ...] = tuple(RELATED.split())
    """pairs of related words, each word:word"""
    random_pairs: Count = 2000
    """random pairs of the `frequent` most frequent words"""
    frequent: Count = 1000
    """words from which random pairs are drawn"""
    often: Count = 20
    """occurrences of a pair that counts in the correlation with mutual information"""
    few: Count = 40
    """words of the smallest problem, which is solved exactly"""
    seed: Whole = 0
    """seed of all random numbers"""

    def __post_init__(self):
        if any(pair.count(":") != 1 for pair in self.related):
            raise ValueError(f"related must be pairs word:word, got {' '.join(self.related)}")


@functools.cache
def read(cfg: Config) -> Words:
    """The words of the corpus. Raises UserError if they are no more than the dimensions."""
    words = words_of(corpus.load(cfg.path, 0.04).train, cfg.least, cfg.most)
    if len(words.names) <= cfg.width:
        raise UserError(
            f"the text has {len(words.names)} words that occur {cfg.least} times, and vectors of "
            f"{cfg.width} dimensions need more; lower --least or --width"
        )
    return words


def measured(x_VD: np.ndarray, words: Words, cfg: Config) -> dict[str, float]:
    """Cosines and analogies of the vectors of one method."""
    unrelated = unrelated_pairs(words, cfg)
    return {
        "related_cosine": np.mean(cosines(x_VD, related_pairs(words, cfg.related))),
        "unrelated_cosine": np.mean(cosines(x_VD, unrelated)),
        "centred_unrelated_cosine": np.mean(cosines(x_VD - x_VD.mean(0), unrelated)),
        "analogies": solved_share(x_VD, analogies(words, np.random.default_rng(cfg.seed))),
    }


def unrelated_pairs(words: Words, cfg: Config) -> np.ndarray:
    """Random pairs of frequent words, the same for all methods."""
    size = min(cfg.frequent, len(words.names))
    return random_pairs(size, cfg.random_pairs, np.random.default_rng(cfg.seed))


@functools.cache
def counted(cfg: Config) -> np.ndarray:
    """Number of occurrences of each pair in one reading of the corpus, (V, V)."""
    words, rng = read(cfg), np.random.default_rng(cfg.seed)
    return cooccurrence(pairs(words, cfg.window, cfg.threshold, rng), len(words.names))


def trained(key, words: Words, cfg: Config) -> Iterator[tuple[Vectors, int, float]]:
    """Yields the vectors, the pairs seen so far and the mean loss before and during training."""
    rng, seen = numpy_generator(key), 0
    vectors = skip_gram.initial(key, len(words.names), cfg.width)
    yield vectors, seen, np.nan
    readings = [pairs(words, cfg.window, cfg.threshold, rng) for _ in range(cfg.readings)]
    found = np.concatenate(readings)
    if len(found) < cfg.batch:
        raise UserError(f"the text has {len(found)} pairs, fewer than a batch of {cfg.batch}")
    found = found[: len(found) // cfg.batch * cfg.batch].reshape(-1, cfg.batch, 2)
    tx = optax.adam(optax.linear_schedule(cfg.rate, 0.0, len(found)))
    step, opt = jax.jit(functools.partial(skip_gram.train, tx=tx)), tx.init(vectors)
    for start in range(0, len(found), CHUNK):
        positive = found[start : start + CHUNK]
        negative = skip_gram.draws(words.counts, (*positive.shape[:2], cfg.negatives), rng)
        vectors, opt, loss = step(vectors, opt, positive, negative)
        seen += positive[..., 0].size
        yield vectors, seen, float(loss)


def training(key, cfg: Config) -> Result:
    """Skip-gram vectors over training, and their products beside mutual information."""
    words, curve = read(cfg), []
    groups = related_pairs(words, cfg.related), unrelated_pairs(words, cfg)
    for vectors, seen, loss in trained(key, words, cfg):
        word_VD = np.asarray(vectors.word)
        if seen == 0:
            metrics = family("{}_at_first", measured(word_VD, words, cfg))
        curve.append((seen, loss, *(np.quantile(cosines(word_VD, x), QUANTILES) for x in groups)))
    metrics |= family("{}_skip_gram", measured(word_VD, words, cfg)) | {"loss": curve[-1][1]}
    information = skip_gram.shifted_information(
        counted(cfg), skip_gram.noise(words.counts), cfg.negatives
    )
    is_often = counted(cfg) >= cfg.often
    compared = np.stack([information, word_VD @ np.asarray(vectors.context).T])[:, is_often]
    metrics["information_correlation"] = float(np.corrcoef(compared)[0, 1])
    shown = {
        "training.png": draw_training(curve, compared),
        "neighbours.txt": neighbours(word_VD, words, EXAMPLES),
    }
    return Result(metrics, shown)


def factorisation(key, cfg: Config) -> Result:
    """Vectors from the singular value decomposition of mutual information."""
    x_VD = skip_gram.factorised(counted(cfg), cfg.width)
    return Result(family("{}_factorised", measured(x_VD, read(cfg), cfg)))


def optimum(key, cfg: Config) -> Result:
    """Distance of the products from mutual information minus log k, where the loss is least."""
    counts = counted(cfg)[: cfg.few, : cfg.few]
    share = counts.sum(0) / counts.sum()
    product = skip_gram.least_expected_loss(key, counts, share, cfg.negatives)
    gap = np.abs(product - skip_gram.shifted_information(counts, share, cfg.negatives))
    return Result({"optimum_gap": float(np.max(gap[counts > 0]))})


def draw_training(curve: list[tuple], compared: np.ndarray):
    """Cosines of pairs of words over training, and products of vectors over mutual information."""
    figure, (left, right) = figures.panels(2)
    seen, _, *groups = zip(*curve)
    millions = np.array(seen) / 1e6
    for name, quantiles, color in zip(("related", "random"), groups, figures.COLORS):
        low, middle, high = np.array(quantiles).T
        left.fill_between(millions, low, high, alpha=0.25, color=color)
        left.plot(
            millions, middle, color=color, label=f"{name} words: median and half of the pairs"
        )
    left.set(title="similarity", xlabel="pairs seen, millions", ylabel="cosine", ylim=(None, 1.05))
    few = compared[:, :: max(1, compared.shape[1] // 4000)]
    right.plot(*few, ".", ms=2, label="a word and a context", rasterized=True)
    ends = [few.min(), few.max()]
    right.plot(ends, ends, color="gray", ls="--", label="equal")
    right.set(title="vectors factorise mutual information", ylabel="$u_c v_w$")
    right.set(xlabel="mutual information - log k, nats")
    return figures.legends(figure)


def study(cfg: Config) -> dict[str, Part]:
    """Training, factorisation, and the optimum of a small problem."""
    return {
        "training": functools.partial(training, cfg=cfg),
        "factorisation": functools.partial(factorisation, cfg=cfg),
        "optimum": functools.partial(optimum, cfg=cfg),
    }
