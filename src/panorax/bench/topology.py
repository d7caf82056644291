"""Persistent homology beside Ripser (Bauer 2021), C++ through ripser.py, from points to diagrams.

Both find nearly all columns to be in apparent pairs and reduce the few others. Ripser enumerates the cofaces of every edge for it, compiled; ours,
numpy alone, asks for the lunes of all edges at once whether they are empty, which for all but the edges of the relative neighbourhood graph the
nearest neighbours answer.
"""

from importlib.metadata import version
from pathlib import Path

import numpy as np

from panorax.bench.rounds import compare
from panorax.bench.table import Table
from panorax.core.ranges import Count, checked
from panorax.maths.topology.persistence import diagrams, distances

CONTENDERS = {
    "panorax": "panorax.bench.topology:panorax",
    "ripser": "panorax.bench.topology:ripser",
}


@checked
class Config:
    """Clouds of `points` up to H1, and a smaller one, of points on a sphere, up to H2."""

    points: Count = 500
    on_sphere: Count = 120
    repeats: Count = 3
    """of a cloud in a round"""
    rounds: Count = 7


def clouds(cfg: Config) -> dict[str, tuple[np.ndarray, int]]:
    """Points and the highest homology, by case."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, cfg.points)
    sphere = rng.standard_normal((cfg.on_sphere, 3))
    return {
        "normal": (rng.standard_normal((cfg.points, 3)), 1),
        "circle": (
            np.stack([np.cos(angle), np.sin(angle)], 1)
            + 0.05 * rng.standard_normal((cfg.points, 2)),
            1,
        ),
        "dim20": (rng.standard_normal((cfg.points, 20)), 1),
        "sphere": (sphere / np.linalg.norm(sphere, axis=1, keepdims=True), 2),
    }


def benchmark(cfg: Config, folder: Path) -> Table:
    """Every cloud in turn: points a second, and the largest difference between bars of both, infinite where there are not as many."""
    table = Table("points/s")
    for case, (x, top) in clouds(cfg).items():
        np.save(folder / "points.npy", x)
        measured = compare(CONTENDERS, {"top": top, "repeats": cfg.repeats}, folder, cfg.rounds)
        table.add(case, measured, against="ripser")
        ours, theirs = (one.facts["diagrams"] for one in measured.values())
        table.metrics[f"{case}_panorax_seconds"] = len(x) / float(
            np.median(measured["panorax"].rates)
        )
        table.metrics[f"{case}_largest_difference"] = max(
            difference(np.array(a), np.array(b)) for a, b in zip(ours, theirs, strict=True)
        )
        table.metrics[f"{case}_bars"] = float(sum(map(len, ours)))
    return table


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest between births, and between deaths, in order of size; infinite where not as many bars end."""
    if ours.shape != theirs.shape or not len(ours):
        return 0.0 if ours.shape == theirs.shape else np.inf
    ours, theirs = np.sort(ours, axis=0), np.sort(theirs, axis=0)
    ending = np.isfinite(ours)
    return (
        float(np.abs(ours[ending] - theirs[ending]).max(initial=0))
        if (ending == np.isfinite(theirs)).all()
        else np.inf
    )


def panorax(setting: dict, folder: Path):
    """`panorax.maths.topology.persistence`."""
    return _contender(lambda x: diagrams(distances(x), setting["top"]), "numpy", setting, folder)


def ripser(setting: dict, folder: Path):
    """ripser.py with its defaults."""
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
