"""All 1,797 digits in the plane: t-SNE beside scikit-learn's, UMAP beside umap-learn's, at the usual settings of each; points a second, whole maps from
pixels to the plane.

t-SNE here has 3.2 million pairs in each of 1,000 steps, and is one elementwise program and a product with two columns; scikit-learn's tree looks at
fewer pairs, one by one. UMAP here moves all points at once, each by one neighbour and five others, in three thousand to seven thousand steps; umap-learn
moves one edge after another. Ours and theirs compute the same neighbours, exactly here and in scikit-learn, and the same graph.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from panorax.bench.rounds import compare
from panorax.bench.table import Table
from panorax.core.ranges import Count, checked
from panorax.data.datasets import digit_cloud
from panorax.maths.clouds.embedding_quality import neighbor_recall, trustworthiness
from panorax.maths.clouds.neighbors import nearest
from panorax.maths.clouds.tsne import conditional_affinities, joint_affinities, kl_divergence, tsne
from panorax.maths.clouds.umap import umap

PERPLEXITY, NEIGHBORS, K = 30.0, 15, 15
HERE, THERE = "panorax.bench.embedding:", "panorax.bench.learned_embedding:"
TSNE = {"panorax": HERE + "mapped_by_tsne", "scikit-learn": THERE + "mapped_by_tsne"}
UMAP = {"panorax": HERE + "mapped_by_umap", "umap-learn": THERE + "mapped_by_umap"}


@checked
class Config:
    points: Count = 1797
    rounds: Count = 5


def benchmark(cfg: Config, folder: Path) -> Table:
    """Every contender maps the same points once a round; UMAP from another key each time, so that its measures are medians over the rounds."""
    table, setting = Table("points/s"), {"points": cfg.points}
    for case, contenders, judge, theirs in (
        ("tsne", TSNE, "scikit-learn", "scikit_learn"),
        ("umap", UMAP, "umap-learn", "umap_learn"),
    ):
        measured = compare(contenders, setting, folder, cfg.rounds)
        table.add(case, measured, judge)
        for name, word in (("panorax", "panorax"), (judge, theirs)):
            maps = measured[name].facts["maps"][-cfg.rounds :]
            for quality, values in qualities(maps, case, cfg.points).items():
                table.metrics[f"{case}_{word}_{quality}"] = float(np.median(values))
        table.metrics[f"{case}_trustworthiness_gain"] = (
            table.metrics[f"{case}_panorax_trustworthiness"]
            - table.metrics[f"{case}_{theirs}_trustworthiness"]
        )
        table.metrics[f"{case}_recall_gain"] = (
            table.metrics[f"{case}_panorax_recall"] - table.metrics[f"{case}_{theirs}_recall"]
        )
    return table


def qualities(maps: list, case: str, points: int) -> dict[str, list[float]]:
    """Measures of each map, by one implementation for all contenders."""
    x = jnp.asarray(digit_cloud(points)[0])
    maps = [jnp.asarray(y, jnp.float32) for y in maps]
    measured = {
        "trustworthiness": [float(trustworthiness(x, y, K)) for y in maps],
        "recall": [float(neighbor_recall(x, y, K)) for y in maps],
    }
    if case == "tsne":
        d2, index = nearest(x, int(3 * PERPLEXITY))
        p = joint_affinities(conditional_affinities(d2, PERPLEXITY), index)
        measured["kl"] = [float(kl_divergence(y, p)) for y in maps]
    return measured


def rounds_of(mapping, points: int, version: str):
    """Facts and work of a contender that maps the cloud by `mapping(x, round)`."""
    x, facts = digit_cloud(points)[0], {"maps": [], "version": version}

    def work():
        facts["maps"].append(
            np.asarray(mapping(x, len(facts["maps"])), np.float64).round(5).tolist()
        )
        return points

    return facts, work


def mapped_by_tsne(setting: dict, folder: Path):
    """A function of the points alone."""
    return rounds_of(lambda x, i: tsne(x, PERPLEXITY), setting["points"], jax.__version__)


def mapped_by_umap(setting: dict, folder: Path):
    """From the key of the round."""
    return rounds_of(
        lambda x, i: umap(x, jax.random.key(i), NEIGHBORS), setting["points"], jax.__version__
    )
