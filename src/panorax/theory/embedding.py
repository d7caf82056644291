"""Maps of the handwritten digits to the plane: principal components, t-SNE and UMAP.

A map should preserve neighbourhoods; distances between far clusters mean little in t-SNE and UMAP.
`panorax.maths.clouds.embedding_quality` defines the first three measures.

    trustworthiness_*   1 if no false neighbours appear in the map
    continuity_*        1 if no neighbours are separated
    recall_*            share of the k nearest neighbours that the map preserves
    named_*             share of points whose nearest neighbour in the map has their label
    tsne_kl             KL divergence that t-SNE minimises, in nats

The baselines are `named_all_pixels` (nearest neighbours in pixel space) and
`trustworthiness_chance` (a map to Gaussian noise). `umap_again` is UMAP from a second key.
Source: van der Maaten & Hinton 2008; McInnes, Healy & Melville 2018; Venna & Kaski 2001.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core import figures
from panorax.core.errors import UserError
from panorax.core.ranges import Count, NonNegative, Positive, Whole, checked
from panorax.core.state import Result
from panorax.core.study import Part, family
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
    """digits that are mapped, at most 1,797"""
    perplexity: Positive = 30.0
    """effective number of neighbours of t-SNE"""
    perplexities: tuple[Positive, ...] = (5.0, 100.0)
    """perplexities of further t-SNE maps; the first five are drawn"""
    steps: Count = 1000
    """steps of t-SNE, the first quarter with early exaggeration"""
    neighbors: Count = 15
    """neighbours of UMAP, the point itself included"""
    min_dist: NonNegative = 0.1
    """distance in the plane below which UMAP does not attract points further"""
    epochs: Count = 500
    """epochs of UMAP"""
    k: Count = 15
    """neighbours that the measures of quality use [k]"""
    seed: Whole = 0
    """seed of all random numbers"""

    def __post_init__(self):
        if not 4 <= self.points <= 1797 or not self.k < self.points / 2:
            raise UserError("points must be 4 to 1797, k below half of points")
        if not 2 <= self.neighbors <= self.points or self.min_dist >= 3:
            raise UserError("neighbors must be 2 to points, min-dist below 3")
        if not all(1 <= p < self.points for p in (self.perplexity, *self.perplexities)):
            raise UserError("every perplexity must be at least 1 and below points")


class Quality(NamedTuple):
    """A map of the digits, and how well it preserves their neighbourhoods."""

    y_N2: jax.Array
    """points of the plane, float32 (points, 2)"""
    trustworthiness: float
    """1 if no false neighbours appear"""
    continuity: float
    """1 if no neighbours are separated"""
    recall: float
    """share of the k nearest neighbours that are preserved"""
    named: float
    """share of points whose nearest neighbour has their label"""


def named_by_neighbor(y_N2, label: np.ndarray) -> float:
    """Share of points whose nearest neighbour among the others has their label."""
    _, index = nearest(jnp.asarray(y_N2), 1)
    return float(np.mean(label[np.asarray(index)[:, 0]] == label))


def quality(x_ND: np.ndarray, label: np.ndarray, y_N2: jax.Array, k: int) -> Quality:
    """Measures the map y of x."""
    x_ND = jnp.asarray(x_ND)
    return Quality(
        y_N2,
        float(trustworthiness(x_ND, y_N2, k)),
        float(continuity(x_ND, y_N2, k)),
        float(neighbor_recall(x_ND, y_N2, k)),
        named_by_neighbor(y_N2, label),
    )


def quality_metrics(maps: dict[str, Quality]) -> dict[str, float]:
    """The four measures of each map."""
    metrics = family(
        "trustworthiness_{}", {name: row.trustworthiness for name, row in maps.items()}
    )
    metrics |= family("continuity_{}", {name: row.continuity for name, row in maps.items()})
    metrics |= family("recall_{}", {name: row.recall for name, row in maps.items()})
    metrics |= family("named_{}", {name: row.named for name, row in maps.items()})
    return metrics


def by_pca(key, cfg: Config) -> Result:
    """The first two principal components, and the baselines."""
    x, label = datasets.digit_cloud(cfg.points)
    maps = {"pca": quality(x, label, principal_components(jnp.asarray(x)), cfg.k)}
    noise = jax.random.normal(key, (cfg.points, 2))
    metrics = quality_metrics(maps)
    metrics["named_all_pixels"] = named_by_neighbor(x, label)
    metrics["trustworthiness_chance"] = float(trustworthiness(jnp.asarray(x), noise, cfg.k))
    return Result(metrics, {"pca.png": draw(maps, label)})


def by_umap(key, cfg: Config) -> Result:
    """UMAP from two keys."""
    x, label = datasets.digit_cloud(cfg.points)
    embed = lambda key: umap(x, key, cfg.neighbors, cfg.min_dist, cfg.epochs)
    keys = zip(("umap", "umap_again"), jax.random.split(key), strict=True)
    maps = {name: quality(x, label, embed(key), cfg.k) for name, key in keys}
    return Result(quality_metrics(maps), {"umap.png": draw(maps, label)})


def by_tsne(key, cfg: Config) -> Result:
    """t-SNE with every perplexity. It starts at the principal components and uses no key."""
    x, label = datasets.digit_cloud(cfg.points)
    embed = lambda perplexity: tsne(x, perplexity, cfg.steps, cfg.steps // 4)
    perplexities = {"tsne": cfg.perplexity}
    perplexities |= {f"tsne_perplexity_{p:g}": p for p in cfg.perplexities}
    maps = {name: quality(x, label, embed(p), cfg.k) for name, p in perplexities.items()}
    d2, index = nearest(jnp.asarray(x), min(cfg.points - 1, int(3 * cfg.perplexity)))
    p = joint_affinities(conditional_affinities(d2, cfg.perplexity), index)
    metrics = quality_metrics(maps)
    metrics["tsne_kl"] = float(kl_divergence(maps["tsne"].y_N2, p))
    return Result(metrics, {"tsne.png": draw(maps, label)})


def draw(maps: dict[str, Quality], label: np.ndarray):
    """The first six maps, coloured by class, with each class labelled at its median."""
    maps = dict(list(maps.items())[:6])
    figure, axes = figures.panels(min(len(maps), 3), -(-len(maps) // 3))
    for ax in axes:
        ax.set_axis_off()
    for ax, (name, measured) in zip(axes, maps.items()):
        y = np.asarray(measured.y_N2)
        ax.scatter(*y.T, c=label, cmap=figures.class_colors(), s=3, vmin=-0.5, vmax=9.5)
        for digit in np.unique(label):
            middle = np.median(y[label == digit], 0)
            ax.annotate(str(digit), middle, ha="center", va="center", size=13, weight="bold")
        measures = f"trustworthiness {measured.trustworthiness:.3f}, recall {measured.recall:.2f}"
        ax.set_title(f"{name.replace('_', ' ')}\n{measures}", fontsize=11)
    return figure


def study(cfg: Config) -> dict[str, Part]:
    """Maps of the same points by three methods."""
    return {
        "pca": functools.partial(by_pca, cfg=cfg),
        "umap": functools.partial(by_umap, cfg=cfg),
        "tsne": functools.partial(by_tsne, cfg=cfg),
    }
