"""Maps of all 1,797 digits in the plane: t-SNE beside scikit-learn, UMAP beside umap-learn.

Each runs at its usual settings; the rate counts points per second of whole maps from pixels to the
plane. Our t-SNE evaluates 3.2 million pairs in each of 1,000 steps, as one elementwise program and
a product with two columns; scikit-learn's tree visits fewer pairs, one by one. Our UMAP moves all
points at once, each by one neighbour and five others, in 3,000 to 7,000 steps; umap-learn moves one
edge after another. Both sides compute the same neighbours (exactly here and in scikit-learn) and
the same graph.
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
HERE, LEARNED = "panorax.bench.embedding:", "panorax.bench.learned_embedding:"
TSNE = {"panorax": HERE + "mapped_by_tsne", "scikit-learn": LEARNED + "mapped_by_tsne"}
UMAP = {"panorax": HERE + "mapped_by_umap", "umap-learn": LEARNED + "mapped_by_umap"}


@checked
class Config:
    points: Count = 1797
    """digits that are mapped [N]"""
    rounds: Count = 5
    """counted rounds"""


def benchmark(cfg: Config, folder: Path) -> Table:
    """Compares the maps of the same points.

    UMAP draws another key each round, so its quality measures are medians over the rounds.
    """
    table = Table("points/s")
    for case, contenders in (("tsne", TSNE), ("umap", UMAP)):
        ours, theirs = contenders
        measured = compare(contenders, {"points": cfg.points}, folder, cfg.rounds)
        table.add(case, measured, theirs)
        medians = {}
        for name, rounds in measured.items():
            maps = rounds.facts["maps"][-cfg.rounds :]
            medians[name] = {
                quality: float(np.median(values))
                for quality, values in qualities(maps, case, cfg.points).items()
            }
            word = name.replace("-", "_")
            table.metrics |= {f"{case}_{word}_{q}": value for q, value in medians[name].items()}
        for quality in ("trustworthiness", "recall"):
            gain = medians[ours][quality] - medians[theirs][quality]
            table.metrics[f"{case}_{quality}_gain"] = gain
    return table


def qualities(maps: list, case: str, points: int) -> dict[str, list[float]]:
    """Quality measures of each map, by one implementation for all contenders."""
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
    """Facts and work of a contender that maps the digits by `mapping(x, round)`."""
    x, facts = digit_cloud(points)[0], {"maps": [], "version": version}

    def work():
        y = np.asarray(mapping(x, len(facts["maps"])), np.float64)
        facts["maps"].append(y.round(5).tolist())
        return points

    return facts, work


def mapped_by_tsne(setting: dict, folder: Path):
    """Our t-SNE, which needs no key."""
    return rounds_of(lambda x, i: tsne(x, PERPLEXITY), setting["points"], jax.__version__)


def mapped_by_umap(setting: dict, folder: Path):
    """Our UMAP, with another key each round."""
    return rounds_of(
        lambda x, i: umap(x, jax.random.key(i), NEIGHBORS), setting["points"], jax.__version__
    )
