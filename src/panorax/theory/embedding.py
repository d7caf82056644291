"""Maps of the handwritten digits to the plane: principal components, t-SNE and UMAP, and how much of each neighbourhood they keep.

What a map should keep is which points are near which; distances between far groups mean little in t-SNE and UMAP. Measured by trustworthiness (no false
neighbours), continuity (none lost) and recall of the nearest neighbours (`embedding_quality`); and by what a reader of the picture does: name a point by
its nearest neighbour on the page.
"""

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core.errors import UserError
from panorax.core.ranges import Count, NonNegative, Positive, Whole, checked
from panorax.core.state import Result
from panorax.data import datasets
from panorax.maths.clouds.embedding_quality import continuity, neighbor_recall, trustworthiness
from panorax.maths.clouds.neighbors import nearest
from panorax.maths.clouds.tsne import (
    conditional_affinities,
    joint_affinities,
    kl_divergence,
    principal_components,
    tsne,
)
from panorax.maths.clouds.umap import umap


@checked
class Config:
    points: Count = 1797
    """digits that are mapped, of 1,797"""
    perplexity: Positive = 30.0
    """effective number of neighbours of t-SNE"""
    perplexities: tuple[Positive, ...] = (5.0, 100.0)
    """others that are shown"""
    steps: Count = 1000
    """of t-SNE, the first quarter with early exaggeration"""
    neighbors: Count = 15
    """of UMAP, the point itself counted"""
    min_dist: NonNegative = 0.1
    """below which points of UMAP's plane are as near as can be"""
    epochs: Count = 500
    """of UMAP"""
    k: Count = 15
    """neighbours that the measures look at"""
    seed: Whole = 0

    def __post_init__(self):
        if (
            not 4 <= self.points <= 1797
            or not self.k < self.points / 2
            or not 2 <= self.neighbors <= self.points
        ):
            raise UserError(
                "points must be 4 to 1797, k below half of them, neighbors 2 to as many as there are points"
            )
        if (
            not all(1 <= p < self.points for p in (self.perplexity, *self.perplexities))
            or self.min_dist >= 3
        ):
            raise UserError(
                "every perplexity must be at least 1 and below the number of points, min-dist below 3"
            )


def named_by_neighbor(y_N2, label: np.ndarray) -> float:
    """Share of points whose nearest other in the map has their label."""
    return float(np.mean(label[np.asarray(nearest(jnp.asarray(y_N2), 1)[1])[:, 0]] == label))


def study(cfg: Config, key) -> Result:
    """Every map of the same points; `..._again` is UMAP's from another key."""
    x, label = datasets.digit_cloud(cfg.points)
    key_umap, key_again, key_noise = jax.random.split(key, 3)
    map_by_umap = lambda key: umap(x, key, cfg.neighbors, cfg.min_dist, cfg.epochs)
    map_by_tsne = lambda perplexity: tsne(x, perplexity, cfg.steps, cfg.steps // 4)
    maps = {
        "pca": principal_components(jnp.asarray(x)),
        "tsne": map_by_tsne(cfg.perplexity),
        "umap": map_by_umap(key_umap),
    }
    maps["umap_again"] = map_by_umap(key_again)
    maps |= {f"tsne_perplexity_{p:g}": map_by_tsne(p) for p in cfg.perplexities}
    metrics = {}
    for name, y in maps.items():
        metrics[f"trustworthiness_{name}"] = float(trustworthiness(jnp.asarray(x), y, cfg.k))
        metrics[f"continuity_{name}"] = float(continuity(jnp.asarray(x), y, cfg.k))
        metrics[f"recall_{name}"] = float(neighbor_recall(jnp.asarray(x), y, cfg.k))
        metrics[f"named_{name}"] = named_by_neighbor(y, label)
    metrics["named_all_pixels"] = named_by_neighbor(x, label)
    noise = jax.random.normal(key_noise, (cfg.points, 2))
    metrics["trustworthiness_chance"] = float(trustworthiness(jnp.asarray(x), noise, cfg.k))
    d2, index = nearest(jnp.asarray(x), min(cfg.points - 1, int(3 * cfg.perplexity)))
    p = joint_affinities(conditional_affinities(d2, cfg.perplexity), index)
    metrics["tsne_kl"] = float(kl_divergence(maps["tsne"], p))
    return Result(metrics, {"embedding.png": draw(maps, label, metrics)})


def draw(maps: dict, label: np.ndarray, metrics: dict[str, float]):
    """Every map with its digits in colour."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 9), layout="constrained")
    for ax, (name, y) in zip(figure.subplots(2, 3).ravel(), maps.items(), strict=False):
        y = np.asarray(y)
        ax.scatter(*y.T, c=label, cmap="tab10", s=3, vmin=-0.5, vmax=9.5)
        for digit in np.unique(label):
            ax.annotate(
                str(digit),
                np.median(y[label == digit], 0),
                ha="center",
                va="center",
                fontsize=13,
                weight="bold",
            )
        kept = f"trustworthiness {metrics[f'trustworthiness_{name}']:.3f}, recall {metrics[f'recall_{name}']:.2f}"
        ax.set_title(f"{name.replace('_', ' ')}\n{kept}", fontsize=11)
        ax.set(xticks=[], yticks=[])
    return figure
