"""Competitors of `panorax.bench.embedding`: scikit-learn's Barnes-Hut t-SNE and umap-learn."""

import warnings
from pathlib import Path

from panorax.bench.embedding import NEIGHBORS, PERPLEXITY, rounds_of


def mapped_by_tsne(setting: dict, folder: Path):
    """scikit-learn's t-SNE with its defaults: 1,000 steps from principal components."""
    import sklearn
    from sklearn.manifold import TSNE

    return rounds_of(
        lambda x, i: TSNE(perplexity=PERPLEXITY, random_state=i).fit_transform(x),
        setting["points"],
        sklearn.__version__,
    )


def mapped_by_umap(setting: dict, folder: Path):
    """umap-learn without a seed, because a seed would restrict it to one core."""
    warnings.simplefilter("ignore")
    import umap

    return rounds_of(
        lambda x, i: umap.UMAP(n_neighbors=NEIGHBORS).fit_transform(x),
        setting["points"],
        umap.__version__,
    )
