"""1,797 digits mapped to the plane: t-SNE beside scikit-learn, UMAP beside umap-learn.

Compares points per second and the quality of the maps. Competitors: scikit-learn 1.9.1, umap-learn
0.5.12.

Command: panorax bench bench/embedding (needs `pip install 'panorax[bench]'`)
"""

import dataclasses

from panorax.bench.embedding import Config
from panorax.core.claims import Claim

CLAIMS = (
    Claim(
        "tsne_panorax_ratio",
        ">=",
        1.0,
        "Panorax: 1,000 steps of t-SNE take no longer than with scikit-learn",
    ),
    Claim(
        "umap_panorax_ratio",
        ">=",
        1.0,
        "Panorax: 500 epochs of UMAP take no longer than with umap-learn",
    ),
    Claim(
        "tsne_panorax_kl",
        "<=",
        "tsne_scikit_learn_kl",
        "Panorax: t-SNE reaches a KL divergence no larger than scikit-learn's",
    ),
    Claim(
        "tsne_trustworthiness_gain",
        ">=",
        0.0,
        "Panorax: the trustworthiness of t-SNE with 15 neighbours is at least scikit-learn's",
    ),
    Claim(
        "tsne_recall_gain",
        ">=",
        0.0,
        "Panorax: t-SNE preserves at least scikit-learn's share of the 15 nearest neighbours",
    ),
    Claim(
        "umap_trustworthiness_gain",
        ">=",
        0.0,
        "Panorax: the trustworthiness of UMAP with 15 neighbours, median over rounds, is at least"
        " umap-learn's",
    ),
    Claim(
        "umap_recall_gain",
        ">=",
        0.0,
        "Panorax: UMAP preserves at least umap-learn's share of the 15 nearest neighbours, median"
        " over rounds",
    ),
)


def get_config() -> Config:
    return Config()


def quick() -> Config:
    """The size of `panorax bench --check`."""
    return dataclasses.replace(get_config(), rounds=3)
