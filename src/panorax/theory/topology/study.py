"""Topology of data: shapes known by their Betti numbers, the digits, the layers of a network, and how many labelings a hyperplane can make.

The homology is that of `panorax.maths.topology.persistence`, distances between diagrams those of `panorax.maths.topology.diagrams`; the network is
`panorax.theory.topology.untangling`, Cover's theorem `panorax.maths.topology.separability`.
"""

import jax
import numpy as np

from panorax.core.errors import UserError
from panorax.core.ranges import Count, Positive, Whole, checked
from panorax.core.state import Result
from panorax.data import datasets
from panorax.maths.clouds import shapes
from panorax.maths.estimates import share_interval
from panorax.maths.topology import separability
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
from panorax.theory.topology import untangling

ROUNDING = 1e-9
RATIOS = (1.0, 1.4, 1.8, 2.0, 2.2, 2.6)
"""of points to dimensions, for shares of dichotomies"""


@checked
class Config:
    circle: Count = 60
    """points evenly on the circle, a multiple of 3"""
    eight: Count = 100
    sphere: Count = 120
    torus: Count = 200
    digits: Count = 1442
    """pictures of all classes"""
    displaced: Count = 20
    """clouds whose points are moved, for the stability of diagrams"""
    pairs: Count = 3
    """of linked rings that a network tells apart"""
    ring: Count = 100
    """points of each"""
    width: Count = 12
    layers: Count = 6
    steps: Count = 3000
    lr: Positive = 3e-3
    seeds: Count = 8
    bits: Count = 4
    """of the Boolean functions that are all tried, at most 4"""
    few: Count = 8
    """points of which all dichotomies are tried, in every dimension up to their number; at most 16"""
    dimensions: tuple[Count, ...] = (5, 20, 50)
    """in which a share of dichotomies is sampled"""
    trials: Count = 250
    seed: Whole = 0

    def __post_init__(self):
        if self.circle % 3 or self.circle < 6:
            raise UserError("circle must be a multiple of 3, and at least 6")
        if self.digits < 50:
            raise UserError("digits must be at least 50, so that every class has some")
        if min(self.eight, self.sphere, self.torus) < 10 or self.ring <= untangling.NEIGHBOURS:
            raise UserError(
                f"shapes need at least 10 points, a ring more than {untangling.NEIGHBOURS}"
            )
        if self.bits > 4 or self.few > separability.MOST or not self.dimensions:
            raise UserError(
                f"bits must be at most 4, few at most {separability.MOST}, and one dimension given"
            )


def study(cfg: Config, key) -> Result:
    """Shapes, stability, digits, a network, and Cover's count; a figure of the first and one of the last two."""
    key_host, key_network = jax.random.split(key)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key_host)))
    clouds, found, metrics = known_shapes(cfg, rng)
    metrics |= stability(cfg, rng)
    digits, classes = digit_classes(cfg.digits)
    layers, trained = network(cfg, key_network)
    shares, counted = cover(cfg, rng)
    figures = {
        "diagrams.png": draw_diagrams(clouds, found, classes),
        "layers_and_dichotomies.png": draw_rest(layers, shares),
    }
    return Result(metrics | digits | trained | counted, figures)


def known_shapes(cfg: Config, rng: np.random.Generator):
    """Diagrams of the clouds of `panorax.maths.clouds.shapes`, and what their theory says of them."""
    clouds = {
        "circle": shapes.regular_circle(cfg.circle), "eight": shapes.figure_eight(rng, cfg.eight),
        "sphere": shapes.sphere(rng, cfg.sphere), "torus": shapes.torus(rng, cfg.torus),
    }  # fmt: skip
    found = {
        name: diagrams(distances(x), 1 if name == "eight" else 2) for name, x in clouds.items()
    }
    loops, hollows = (
        diagram[diagram[:, 1] - diagram[:, 0] > ROUNDING] for diagram in found["circle"][1:]
    )
    metrics = {
        "circle_loops": len(loops),
        "circle_birth_gap": abs(loops[0, 0] - 2 * np.sin(np.pi / cfg.circle)), "circle_death_gap": abs(loops[0, 1] - 3**0.5),
        "circle_hollows": int((np.abs(hollows[:, 0] - 3**0.5) < ROUNDING).sum()), "circle_hollows_expected": cfg.circle // 3 - 1,
    }  # fmt: skip
    for name in ("eight", "sphere", "torus"):
        numbers, start, end = lasting(found[name])
        metrics |= {f"{name}_betti_{k}": number for k, number in enumerate(numbers)} | {
            f"{name}_lasts_by": end / start
        }
    return clouds, found, {name: float(x) for name, x in metrics.items()}


def stability(cfg: Config, rng: np.random.Generator) -> dict[str, float]:
    """Bottleneck distances between the diagrams of 40 points and of the same moved, or of half of them, as shares of what stability allows."""
    moved, halved = [], []
    for _ in range(cfg.displaced):
        x = rng.standard_normal((40, 2))
        y = x + rng.uniform(0, 0.3) * rng.standard_normal((40, 2))
        one, other, half = (diagrams(distances(cloud)) for cloud in (x, y, x[::2]))
        moved += [
            bottleneck(a, b) / (2 * np.linalg.norm(y - x, axis=1).max())
            for a, b in zip(one, other, strict=True)
        ]
        halved += [
            bottleneck(a, b) / (2 * hausdorff(x, x[::2])) for a, b in zip(one, half, strict=True)
        ]
    return {
        "stability_share_moved": float(max(moved)),
        "stability_share_halved": float(max(halved)),
    }


def digit_classes(n: int) -> tuple[dict[str, float], list[list[np.ndarray]]]:
    """The first n training digits: how their minimum spanning tree keeps to classes, and the diagrams of every class."""
    pictures, label = (part[:n] for part in datasets.digit_vectors()[:2])
    apart = distances(pictures)
    edges = filtration(apart)
    ends = label[edges.ends[:, spanning_forest(edges)]]
    classes = [diagrams(apart[np.ix_(label == c, label == c)]) for c in range(10)]
    touching = [apart[np.ix_(label == c, label != c)].min() for c in range(10)]
    metrics = {
        "digits_tree_within_a_class": float((ends[0] == ends[1]).mean()),
        "digits_largest_loop_ratio": max(largest_ratio(found[1]) for found in classes),
        "digits_mean_components_where_classes_touch": float(
            np.mean([betti(found[0], t) for found, t in zip(classes, touching, strict=True)])
        ),
    }
    for c in (0, 1):
        metrics[f"digit_{c}_loops"] = float(len(classes[c][1]))
        metrics[f"digit_{c}_total_persistence"] = total_persistence(classes[c][1])
        metrics[f"digit_{c}_median_join"] = float(np.median(lengths(classes[c][0])))
    return metrics, classes


def network(cfg: Config, key):
    """Betti numbers of one class of linked rings in every layer of trained networks, (seeds, layers + 1, 2) by activation; and how well a network
    does that cannot leave R^3."""
    key_seeds, key_narrow = jax.random.split(key)
    numbers, metrics = {}, {}
    rings = untangling.linked_rings(cfg.pairs, cfg.ring)
    for activation in untangling.FUNCTION:
        keys = jax.random.split(key_seeds, cfg.seeds)
        right, seen = untangling.train_each(
            keys, *rings, cfg.width, cfg.layers, activation, cfg.steps, cfg.lr
        )
        numbers[activation] = np.array(
            [[untangling.betti_numbers(layer[i]) for layer in seen] for i in range(cfg.seeds)]
        )
        mean = numbers[activation].mean(0)
        metrics |= {
            f"{activation}_right": float(right.mean()),
            f"{activation}_betti_data": float(mean[0].sum()),
        }
        metrics |= {
            f"{activation}_betti_last": float(mean[-1].sum()),
            f"{activation}_betti_1_last": float(mean[-1, 1]),
        }
    right, _ = untangling.train_each(
        jax.random.split(key_narrow, cfg.seeds), *rings, 3, cfg.layers, "tanh", cfg.steps, cfg.lr
    )
    metrics["narrow_most_right"] = float(right.max())
    return numbers, metrics


def cover(cfg: Config, rng: np.random.Generator):
    """Separable dichotomies: all of a few points and of all Boolean functions, and shares of more points with their intervals, by dimension."""
    missed = 0
    for d in range(1, cfg.few + 1):
        missed += separability.separable_dichotomies(
            rng.standard_normal((cfg.few, d))
        ) != separability.count(cfg.few, d)
    distance = []

    def share(n: int, d: int, degree: int | None = None):
        hits, dimension = separability.separable_share(rng, n, d, cfg.trials, degree)
        exact = separability.probability(n, dimension)
        distance.append(
            abs(hits / cfg.trials - exact)
            / max((exact * (1 - exact) / cfg.trials) ** 0.5, ROUNDING)
        )
        return n, hits / cfg.trials, share_interval(hits, cfg.trials)

    shares = {d: [share(round(ratio * d), d) for ratio in RATIOS] for d in cfg.dimensions}
    share(12, 2, 2)
    corners = separability.cube(2)
    xor, bits = -corners.prod(1), separability.cube(cfg.bits)
    parity = bits.prod(1)
    metrics = {
        "cover_counts_missed": missed, "cover_largest_z": max(distance),
        "xor_separable_by_a_line": separability.separable(separability.monomials(corners, 1), xor),
        "xor_separable_with_a_product": separability.separable(separability.monomials(corners, 2), xor),
        "threshold_functions": separability.separable_dichotomies(separability.monomials(bits, 1)),
        "parity_degree": min(k for k in range(1, cfg.bits + 1) if separability.separable(separability.monomials(bits, k), parity)),
    }  # fmt: skip
    return shares, {name: float(x) for name, x in metrics.items()}


def draw_diagrams(clouds, found, classes):
    """Every cloud, and its diagram; the diagrams of two digits."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(16, 7), layout="constrained")
    for i, (name, x) in enumerate(clouds.items()):
        ax = figure.add_subplot(2, 5, i + 1, projection="3d" if x.shape[1] == 3 else None)
        ax.scatter(*x.T, s=8, c=x[:, -1], cmap="viridis")
        ax.set(title=f"{name.replace('eight', 'figure eight')}, {len(x)} points", aspect="equal")
        if x.shape[1] == 3:
            ax.set_box_aspect(np.ptp(x, axis=0), zoom=1.5)
        ax.set_axis_off()
        _draw_diagram(figure.add_subplot(2, 5, i + 6), found[name])
    for i, digit in enumerate((0, 1)):
        ax = figure.add_subplot(2, 5, 5 * (i + 1))
        _draw_diagram(ax, classes[digit])
        ax.set_title(f"digit {digit}, {len(classes[digit][0])} pictures")
    return figure


def _draw_diagram(ax, found: list[np.ndarray]) -> None:
    """Birth and death of all bars; those that never end lie on the dotted line."""
    top = 1.1 * max(diagram[np.isfinite(diagram)].max(initial=0) for diagram in found)
    ax.plot([0, top], [0, top], color="0.7", linewidth=1)
    ax.axhline(top, color="0.7", linewidth=1, linestyle=":")
    for k, diagram in enumerate(found):
        diagram = diagram[diagram[:, 1] - diagram[:, 0] > ROUNDING]
        ax.scatter(
            diagram[:, 0],
            np.minimum(diagram[:, 1], top),
            s=14,
            marker="o^s"[k],
            color=f"C{k}",
            alpha=0.7,
            label=f"H{k}",
            clip_on=False,
        )
    ax.set(xlabel="birth", ylabel="death", xlim=(0, top), ylim=(0, 1.02 * top), aspect="equal")
    ax.legend(frameon=False, loc="lower right")


def draw_rest(layers: dict[str, np.ndarray], shares):
    """Betti numbers of a class of linked rings by layer, mean and range over the seeds; the share of separable dichotomies by points over
    dimensions."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4), layout="constrained")
    axes = figure.subplots(1, 3)
    for k, ax in enumerate(axes[:2]):
        for i, (activation, numbers) in enumerate(layers.items()):
            at, one = np.arange(numbers.shape[1]), numbers[:, :, k]
            ax.fill_between(at, one.min(0), one.max(0), color=f"C{i}", alpha=0.15, linewidth=0)
            ax.plot(at, one.mean(0), "o-", color=f"C{i}", label=activation)
        ax.set(
            title=("components", "loops")[k] + " of a class of linked rings",
            xlabel="layer (0: data)",
            ylabel=f"Betti number {k}: mean, range",
        )
        ax.set_ylim(0)
        ax.legend(frameon=False)
    for i, (d, measured) in enumerate(shares.items()):
        n = np.arange(d, 3 * d + 1)
        axes[2].plot(
            n / d, [separability.probability(int(m), d) for m in n], color=f"C{i}", label=f"d = {d}"
        )
        for m, hits, (low, high) in measured:
            axes[2].errorbar(
                m / d,
                hits,
                [[max(hits - low, 0)], [max(high - hits, 0)]],
                fmt="o",
                markersize=4,
                color=f"C{i}",
                capsize=2,
            )
    axes[2].axvline(2, color="0.7", linewidth=1, linestyle=":")
    axes[2].set(
        title="separable dichotomies: exact, measured", xlabel="N / d", ylabel="share, 95% interval"
    )
    axes[2].legend(frameon=False)
    return figure
