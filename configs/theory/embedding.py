"""The handwritten digits in the plane: principal components, t-SNE and UMAP.

Command: panorax run theory/embedding (under a minute). Expect ten islands, of which principal components make one heap.
"""

from panorax.core.claims import Claim
from panorax.theory.embedding import Config

CLAIMS = (
    Claim("trustworthiness_tsne", ">=", 0.985, "the usual value of t-SNE on these digits"),
    Claim("trustworthiness_umap", ">=", 0.98, "the usual value of UMAP on these digits"),
    Claim("trustworthiness_pca", "<", 0.9, "no flat shadow of the cloud is as true"),
    Claim("recall_tsne", ">=", 0.55, "van der Maaten & Hinton 2008: local structure is kept"),
    Claim("recall_umap", ">=", 0.5, "McInnes, Healy & Melville 2018: so does UMAP"),
    Claim("named_tsne", ">=", 0.97, "the picture tells digits apart nearly as all pixels do"),
    Claim("named_umap", ">=", 0.96, "the picture tells digits apart nearly as all pixels do"),
)
ORACLE = "scikit-learn's t-SNE, step for step, and trustworthiness; umap-learn's graph and curve"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(
        points=120, perplexity=10.0, perplexities=(5.0,), steps=100, epochs=30, neighbors=8, k=8
    )
