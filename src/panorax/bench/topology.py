"""Persistent homology beside Ripser (Bauer 2021), C++ through ripser.py, from points to diagrams.

Both skip the columns in apparent pairs, nearly all of them, and reduce the others. Ripser is
compiled and enumerates the cofaces of every edge. Our numpy code tests the lunes of all edges at
once for emptiness. Nearest neighbours decide all edges outside the relative neighbourhood graph.
"""

from importlib.metadata import version
from pathlib import Path

import numpy as np

from panorax.bench.rounds import compare
from panorax.bench.table import Table
from panorax.core.ranges import Count, checked
from panorax.core.study import family
from panorax.maths.topology.persistence import diagrams, distances

CONTENDERS = {
    "panorax": "panorax.bench.topology:panorax",
    "ripser": "panorax.bench.topology:ripser",
}


@checked
class Config:
    """Sizes of the point clouds."""

    points: Count = 500
    """points of the clouds up to H1 [N]"""
    on_sphere: Count = 120
    """points of the sphere, up to H2 [N]"""
    repeats: Count = 3
    """diagrams per round"""
    rounds: Count = 7
    """counted rounds"""


def clouds(cfg: Config) -> dict[str, tuple[np.ndarray, int]]:
    """The points (N, D) and the highest homology dimension of each case."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, cfg.points)
    sphere = rng.standard_normal((cfg.on_sphere, 3))
    circle = np.stack([np.cos(angle), np.sin(angle)], 1)
    return {
        "normal": (rng.standard_normal((cfg.points, 3)), 1),
        "circle": (circle + 0.05 * rng.standard_normal((cfg.points, 2)), 1),
        "dim20": (rng.standard_normal((cfg.points, 20)), 1),
        "sphere": (sphere / np.linalg.norm(sphere, axis=1, keepdims=True), 2),
    }


def benchmark(cfg: Config, folder: Path) -> Table:
    """Compares the diagrams of every cloud.

    The metric `CASE_largest_difference` is the largest difference between bars of both programs,
    infinite if their numbers of bars differ.
    """
    table, seconds, differences, bars = Table("points/s"), {}, {}, {}
    for case, (x, top) in clouds(cfg).items():
        np.save(folder / "points.npy", x)
        measured = compare(CONTENDERS, {"top": top, "repeats": cfg.repeats}, folder, cfg.rounds)
        table.add(case, measured, against="ripser")
        ours, theirs = (rounds.facts["diagrams"] for rounds in measured.values())
        seconds[case] = len(x) / np.median(measured["panorax"].rates)
        differences[case] = max(
            difference(np.array(a), np.array(b)) for a, b in zip(ours, theirs, strict=True)
        )
        bars[case] = sum(map(len, ours))
    table.metrics |= family("{}_panorax_seconds", seconds)
    table.metrics |= family("{}_largest_difference", differences) | family("{}_bars", bars)
    return table


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest difference of births and of deaths, each sorted.

    It is infinite if the numbers of bars, or of bars that end, differ.
    """
    if ours.shape != theirs.shape or not len(ours):
        return 0.0 if ours.shape == theirs.shape else np.inf
    ours, theirs = np.sort(ours, axis=0), np.sort(theirs, axis=0)
    finite = np.isfinite(ours)
    if (finite != np.isfinite(theirs)).any():
        return np.inf
    return float(np.abs(ours[finite] - theirs[finite]).max(initial=0))


def panorax(setting: dict, folder: Path):
    """Our diagrams, `panorax.maths.topology.persistence`."""
    return _contender(lambda x: diagrams(distances(x), setting["top"]), "numpy", setting, folder)


def ripser(setting: dict, folder: Path):
    """The diagrams of ripser.py with its defaults."""
    import ripser as library

    return _contender(
        lambda x: library.ripser(x, maxdim=setting["top"])["dgms"], "ripser", setting, folder
    )


def _contender(of_points, package: str, setting: dict, folder: Path):
    x = np.load(folder / "points.npy")
    facts = {
        "diagrams": [np.asarray(diagram).tolist() for diagram in of_points(x)],
        "version": version(package),
    }

    def work():
        for _ in range(setting["repeats"]):
            of_points(x)
        return setting["repeats"] * len(x)

    return facts, work
