"""Persistent homology of shapes with known Betti numbers and of the digits; stability of diagrams.

Homology is in `panorax.maths.topology.persistence`, distances between diagrams are in
`panorax.maths.topology.diagrams`.
Source: Adamaszek & Adams 2017; Chazal, de Silva & Oudot 2014; Bobrowski, Kahle & Skraba 2017.
"""

from typing import NamedTuple

import numpy as np

from panorax.core import figures
from panorax.core.state import Result
from panorax.core.study import family, numpy_generator
from panorax.data import datasets
from panorax.maths.clouds import shapes as clouds_of
from panorax.maths.topology.diagrams import (
    betti,
    bottleneck,
    hausdorff,
    largest_ratio,
    lasting,
    lengths,
    total_persistence,
)
from panorax.maths.topology.persistence import diagrams, distances, filtration, spanning_forest

ROUNDING = 1e-9
"""largest length of a bar that counts as rounding error"""
TITLES = {"circle": "circle", "eight": "figure eight", "sphere": "sphere", "torus": "torus"}
DRAWN_DIGITS = (0, 1)
"""digits whose diagrams are measured one by one and drawn"""


def longer_than_rounding(diagram: np.ndarray) -> np.ndarray:
    """The bars of a diagram that are longer than ROUNDING."""
    return diagram[diagram[:, 1] - diagram[:, 0] > ROUNDING]


def circle_metrics(diagrams_of_circle: list[np.ndarray], points: int) -> dict[str, float]:
    """Bars of evenly spaced points on a circle, beside their closed form.

    If 3 divides n, H1 has one bar, from 2 sin(pi / n) to sqrt(3), where n / 3 - 1 bars of H2 are
    born.
    """
    loops, hollows = (longer_than_rounding(diagram) for diagram in diagrams_of_circle[1:])
    birth, death = loops[0]
    return {
        "circle_loops": float(len(loops)),
        "circle_birth_gap": float(abs(birth - 2 * np.sin(np.pi / points))),
        "circle_death_gap": float(abs(death - 3**0.5)),
        "circle_hollows": float((np.abs(hollows[:, 0] - 3**0.5) < ROUNDING).sum()),
        "circle_hollows_expected": float(points // 3 - 1),
    }


def lasting_metrics(by_shape: dict[str, list[np.ndarray]]) -> dict[str, float]:
    """Betti numbers that hold over the longest interval of scales, and the ratio of its ends."""
    numbers, ratios = {}, {}
    for shape, each in by_shape.items():
        betti_numbers, start, end = lasting(each)
        numbers |= {(shape, k): number for k, number in enumerate(betti_numbers)}
        ratios[shape] = end / start
    return family("{}_betti_{}", numbers) | family("{}_lasts_by", ratios)


def shapes(key, circle: int, eight: int, sphere: int, torus: int) -> Result:
    """Diagrams of four shapes; the arguments are their numbers of points."""
    rng = numpy_generator(key)
    clouds = {
        "circle": clouds_of.regular_circle(circle),
        "eight": clouds_of.figure_eight(rng, eight),
        "sphere": clouds_of.sphere(rng, sphere),
        "torus": clouds_of.torus(rng, torus),
    }
    top = {"eight": 1}  # all other shapes are measured up to H2
    by_shape = {shape: diagrams(distances(x), top.get(shape, 2)) for shape, x in clouds.items()}
    titled = {TITLES[shape]: each for shape, each in by_shape.items()}
    random = {shape: each for shape, each in by_shape.items() if shape != "circle"}
    metrics = circle_metrics(by_shape["circle"], circle) | lasting_metrics(random)
    return Result(
        metrics, {"shapes.png": draw_clouds(clouds), "diagrams.png": draw_diagrams(titled)}
    )


class Comparison(NamedTuple):
    """The distance of two diagrams, and the largest distance that the stability theorem allows."""

    distance: float
    """bottleneck distance of the diagrams"""
    bound: float
    """twice the largest displacement, or twice the Hausdorff distance of the clouds"""

    @property
    def share(self) -> float:
        """Distance over bound, at most 1."""
        return self.distance / self.bound


def compared(x: np.ndarray, y: np.ndarray, bound: float) -> list[Comparison]:
    """Comparisons of the diagrams of two clouds, one for each dimension of homology."""
    pairs = zip(diagrams(distances(x)), diagrams(distances(y)), strict=True)
    return [Comparison(float(bottleneck(a, b)), float(bound)) for a, b in pairs]


def stability(key, clouds: int) -> Result:
    """Diagrams of clouds of 40 points, of displaced points, and of every second point."""
    rng = numpy_generator(key)
    moved, halved = [], []
    for _ in range(clouds):
        x = rng.standard_normal((40, 2))
        y = x + rng.uniform(0, 0.3) * rng.standard_normal((40, 2))
        moved += compared(x, y, 2 * np.linalg.norm(y - x, axis=1).max())
        halved += compared(x, x[::2], 2 * hausdorff(x, x[::2]))
    comparisons = {"moved": moved, "halved": halved}
    largest = {name: max(c.share for c in each) for name, each in comparisons.items()}
    metrics = family("stability_share_{}", largest)
    return Result(metrics, {"stability.png": draw_stability(comparisons)})


def digits(key, n: int) -> Result:
    """The first n training digits: classes along the spanning tree, and one diagram per class.

    Nothing is random: `key` is not used.
    """
    pictures, label = (part[:n] for part in datasets.digit_vectors()[:2])
    distance_NN = distances(pictures)
    classes = class_diagrams(distance_NN, label)
    touching = [distance_NN[np.ix_(label == c, label != c)].min() for c in range(10)]
    components = [betti(each[0], t) for each, t in zip(classes, touching, strict=True)]
    drawn = {c: classes[c] for c in DRAWN_DIGITS}
    metrics = {
        "digits_tree_within_a_class": within_a_class(distance_NN, label),
        "digits_largest_loop_ratio": max(largest_ratio(each[1]) for each in classes),
        "digits_mean_components_where_classes_touch": float(np.mean(components)),
        **family("digit_{}_loops", {c: len(each[1]) for c, each in drawn.items()}),
        **family(
            "digit_{}_total_persistence",
            {c: total_persistence(each[1]) for c, each in drawn.items()},
        ),
        **family(
            "digit_{}_median_join", {c: np.median(lengths(each[0])) for c, each in drawn.items()}
        ),
    }
    named = {f"digit {c}, {len(each[0])} pictures": each for c, each in drawn.items()}
    return Result(metrics, {"digits.png": draw_diagrams(named)})


def class_diagrams(apart_NN: np.ndarray, label_N: np.ndarray) -> list[list[np.ndarray]]:
    """Diagrams of H0 and H1 of each of the ten classes."""
    return [diagrams(apart_NN[np.ix_(label_N == c, label_N == c)]) for c in range(10)]


def within_a_class(apart_NN: np.ndarray, label_N: np.ndarray) -> float:
    """Share of the edges of the minimum spanning tree that join two points of one class."""
    edges = filtration(apart_NN)
    first, second = label_N[edges.ends[:, spanning_forest(edges)]]
    return float((first == second).mean())


def draw_clouds(clouds: dict[str, np.ndarray]):
    """The clouds; colour is the last coordinate."""
    figure = figures.blank(4.0 * len(clouds), 3.6)
    for i, (shape, x) in enumerate(clouds.items(), 1):
        solid = x.shape[1] == 3
        ax = figure.add_subplot(1, len(clouds), i, projection="3d" if solid else None)
        ax.scatter(*x.T, s=8, c=x[:, -1], cmap="viridis")
        ax.set_title(f"{TITLES[shape]}, {len(x)} points")
        if solid:
            ax.set_aspect("equal")
            ax.set_box_aspect(np.ptp(x, axis=0), zoom=1.5)
        else:
            ax.set_aspect("equal", adjustable="datalim")
        ax.set_axis_off()
    return figure


def draw_diagrams(by_name: dict[str, list[np.ndarray]]):
    """Birth and death of all bars; bars that never die lie on the dotted line."""
    figure, axes = figures.panels(len(by_name))
    for ax, (name, each) in zip(axes, by_name.items(), strict=True):
        top = 1.1 * max(diagram[np.isfinite(diagram)].max(initial=0) for diagram in each)
        ax.plot([0, top], [0, top], color="0.7", lw=1)
        ax.axhline(top, color="0.7", lw=1, ls=":")
        for k, diagram in enumerate(map(longer_than_rounding, each)):
            birth, death = diagram[:, 0], np.minimum(diagram[:, 1], top)
            style = {"s": 14, "marker": "o^s"[k], "color": figures.COLORS[k], "alpha": 0.7}
            ax.scatter(birth, death, label=f"H{k}", clip_on=False, **style)
        ax.set(title=name, xlabel="birth", ylabel="death", aspect="equal")
        ax.set(xlim=(0, top), ylim=(0, 1.02 * top))
    return figures.legends(figure, loc="lower right")


def draw_stability(comparisons: dict[str, list[Comparison]]):
    """Bottleneck distances over their bounds."""
    figure, (ax,) = figures.panels()
    for name, each in comparisons.items():
        label = {"moved": "displaced points", "halved": "every second point"}[name]
        ax.plot([c.bound for c in each], [c.distance for c in each], ".", label=label)
    top = max(c.bound for each in comparisons.values() for c in each)
    ax.plot([0, top], [0, top], "--", color="0.5", label="bound")
    ax.set(title="stability of persistence diagrams")
    ax.set(xlabel="largest distance allowed", ylabel="bottleneck distance")
    return figures.legends(figure)
