"""1,797 handwritten digits in the plane, t-SNE beside scikit-learn's and UMAP beside umap-learn's: points a second, and how true the maps are.

Competitors: scikit-learn 1.9.1, umap-learn 0.5.12.
Command: panorax bench bench/embedding      about 5 minutes on 2 cores; needs `pip install 'panorax[bench]'`
"""

import dataclasses

from panorax.bench.embedding import Config
from panorax.core.claims import Claim

CLAIMS = (
    Claim("tsne_panorax_ratio", ">=", 1.0, "t-SNE, 1,000 steps, no slower than scikit-learn's"),
    Claim("umap_panorax_ratio", ">=", 1.0, "UMAP, 500 epochs, no slower than umap-learn"),
    Claim("tsne_panorax_kl", "<=", "tsne_scikit_learn_kl", "what t-SNE minimises is as small"),
    Claim(
        "tsne_trustworthiness_gain", ">=", 0.0, "trustworthiness, 15 neighbours, ours less theirs"
    ),
    Claim("tsne_recall_gain", ">=", 0.0, "share of 15 neighbours kept, ours less theirs"),
    Claim(
        "umap_trustworthiness_gain",
        ">=",
        0.0,
        "trustworthiness, 15 neighbours, ours less theirs, medians of the rounds",
    ),
    Claim(
        "umap_recall_gain",
        ">=",
        0.0,
        "share of 15 neighbours kept, ours less theirs, medians of the rounds",
    ),
)


def get_config() -> Config:
    return Config()


def quick() -> Config:
    """For the guard."""
    return dataclasses.replace(get_config(), rounds=3)
