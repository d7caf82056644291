"""The competitors of `panorax.bench.embedding`: scikit-learn's t-SNE (Barnes-Hut) and umap-learn, as they come."""

import warnings
from pathlib import Path

from panorax.bench.embedding import NEIGHBORS, PERPLEXITY, rounds_of


def mapped_by_tsne(setting: dict, folder: Path):
    """From principal components, 1,000 steps: what its defaults are."""
    import sklearn
    from sklearn.manifold import TSNE

    return rounds_of(
        lambda x, i: TSNE(perplexity=PERPLEXITY, random_state=i).fit_transform(x),
        setting["points"],
        sklearn.__version__,
    )


def mapped_by_umap(setting: dict, folder: Path):
    """Without a seed, which would forbid it the second core."""
    warnings.simplefilter("ignore")
    import umap

    return rounds_of(
        lambda x, i: umap.UMAP(n_neighbors=NEIGHBORS).fit_transform(x),
        setting["points"],
        umap.__version__,
    )
