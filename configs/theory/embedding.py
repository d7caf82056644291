"""Maps of the handwritten digits to the plane: principal components, t-SNE and UMAP.

Command: panorax run theory/embedding
Expect: t-SNE and UMAP separate the ten classes into clusters, principal components do not.
"""

from panorax.core.claims import Claim
from panorax.theory.embedding import Config

NAMED = (
    "Panorax: the nearest neighbour in the map classifies digits nearly as well as the nearest "
    "neighbour in pixel space"
)
CLAIMS = (
    Claim(
        "trustworthiness_tsne",
        ">=",
        0.985,
        "Panorax: t-SNE of the digits has a trustworthiness of at least 0.985",
    ),
    Claim(
        "trustworthiness_umap",
        ">=",
        0.98,
        "Panorax: UMAP of the digits has a trustworthiness of at least 0.98",
    ),
    Claim(
        "trustworthiness_pca",
        "<",
        0.9,
        "Panorax: principal components are less trustworthy than t-SNE and UMAP",
    ),
    Claim(
        "recall_tsne",
        ">=",
        0.55,
        "van der Maaten & Hinton 2008: t-SNE preserves local structure",
    ),
    Claim(
        "recall_umap",
        ">=",
        0.5,
        "McInnes, Healy & Melville 2018: UMAP preserves local structure",
    ),
    Claim("named_tsne", ">=", 0.97, NAMED),
    Claim("named_umap", ">=", 0.96, NAMED),
)
ORACLE = "scikit-learn's t-SNE, step for step, and trustworthiness; umap-learn's graph and curve"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(
        points=120, perplexity=10.0, perplexities=(5.0,), steps=100, epochs=30, neighbors=8, k=8
    )
