"""Losses of skip-gram with negative sampling by gensim, for given pairs and negative words.

gensim adds up the loss of the pairs that it trains on. Each sentence here has two words, which are
two pairs, and the table of negative words leaves a single word to draw. The learning rate is so
small that no vector changes. gensim reads -log sigma(x) from a table of 1,000 entries, and leaves
out products beyond 6.
"""

import numpy as np
from case import Arrays, named, normal, settings
from gensim.models import Word2Vec

GROUP = "theory"
PACKAGES = ("gensim",)
SIZE, WIDTH = 7, 4


def summed_loss(model: Word2Vec, sentence: list[str], negative: int) -> float:
    """The loss of both pairs of a sentence, with `negative` as every negative word."""
    largest = 2**31 - 1
    model.cum_table = np.where(np.arange(SIZE) >= negative, largest, 0).astype(np.uint32)
    model.train([sentence], total_examples=1, epochs=1, compute_loss=True)
    return model.get_latest_training_loss()


def generate() -> Arrays:
    arrays, rng = {}, np.random.RandomState(31)
    names = [f"word{i}" for i in range(SIZE)]
    for k in (1, 5):
        model = Word2Vec(
            vector_size=WIDTH, window=1, min_count=1, sample=0, sg=1, negative=k, workers=1
        )
        # gensim orders words by frequency
        model.build_vocab([[name] * (SIZE - i) for i, name in enumerate(names)])
        model.alpha = model.min_alpha = 1e-20
        word, context = (normal(rng, SIZE, WIDTH, std=0.8) for _ in range(2))
        model.wv.vectors[:], model.syn1neg[:] = word, context
        pairs = np.array([(0, 1), (2, 6), (3, 4), (5, 5), (1, 0)])
        negatives = np.array([2, 4, 3, 0, 6])
        losses = [
            summed_loss(model, [names[i] for i in pair], n) for pair, n in zip(pairs, negatives)
        ]
        np.testing.assert_array_equal(model.wv.vectors, word)
        inputs = {"word": word, "context": context, "pairs": pairs, "negatives": negatives}
        arrays |= named(f"loss_{k}", inputs | {"losses": np.array(losses), **settings(k=k)})
    return arrays
