"""Mutual information of Gaussians, estimated where it is known; and the capacity of channels, bounded from both sides.

The estimators are those of `panorax.maths.information.mutual_information`, the algorithm for channels that of `panorax.maths.information.blahut_arimoto`. Where each estimator fails:

    neighbours   in high dimension: the density is taken to be constant over a cell that reaches to the k-th neighbour, and the estimate is far too low
    InfoNCE      above log B, which it cannot exceed; it is the steadiest
    DV, MINE     one batch scatters the more the more information there is: of the best critic n Var E_q e^f is of the order of e^I (Song & Ermon 2020,
    and NWJ      arXiv:1910.06222); what is learned from so few samples falls short as well
    all critics  one dimension with much information: the ratio of densities is a ridge of width e^-I that a small perceptron does not find

The neighbours are given `points` pairs; critics see fresh pairs in every step, `steps` times `batch`, and others when they are judged.
Closed forms of capacity, in nats: log 2 - h(e) for a bit flipped with probability e, (1 - e) log 2 for one erased, log(1 + (1 - e) e^(e / (1 - e)))
for one whose 1 becomes 0 (Cover & Thomas, Elements of Information Theory, sections 7.1 and problem 7.8).
"""

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core.errors import UserError
from panorax.core.ranges import Count, NonNegative, Positive, Whole, checked
from panorax.core.state import Result
from panorax.maths.information.blahut_arimoto import capacity
from panorax.maths.information.mutual_information import (
    BOUNDS,
    climb,
    correlated_gaussians,
    critic_spec,
    ksg,
    scores,
)

ESTIMATORS = ("ksg", *BOUNDS)
TITLES = {
    "ksg": "KSG, neighbours",
    "infonce": "InfoNCE",
    "dv": "Donsker-Varadhan",
    "mine": "MINE",
    "nwj": "NWJ",
}


@checked
class Config:
    dims: tuple[Count, ...] = (1, 5, 20)
    """of x, and as many of y"""
    nats: tuple[NonNegative, ...] = (0.5, 1.0, 2.0, 4.0, 8.0)
    """true information, from little to much"""
    moderate: Positive = 1.0
    """nats up to which the errors count that a claim is made of for critics; for neighbours twice as many"""
    points: Count = 10_000
    """pairs given to the estimator of neighbours"""
    neighbours: Count = 3
    hidden: Count = 64
    batch: Count = 128
    steps: Count = 2000
    lr: Positive = 2e-3
    judged: Count = 200
    """batches of which each bound is the mean"""
    seeds: Count = 4
    channels: Count = 20
    """random channels"""
    letters: Count = 8
    """of their inputs, and of their outputs"""
    seed: Whole = 0

    def __post_init__(self):
        if (
            not self.dims
            or not self.nats
            or tuple(sorted(set(self.nats))) != self.nats
            or self.nats[0] > self.moderate
        ):
            raise UserError(
                "dims and nats must not be empty, nats must rise and begin at most at moderate"
            )
        if self.seeds < 2 or self.batch < 2 or self.judged < 2 or self.neighbours >= self.points:
            raise UserError(
                "seeds, batch and judged must be at least 2, and neighbours fewer than points"
            )


def neighbours(cfg: Config, dimensions: int, key) -> np.ndarray:
    """The estimates of KSG, (nats, seeds)."""
    draw = jax.jit(lambda key, nats: correlated_gaussians(key, cfg.points, dimensions, nats))
    return np.array(
        [
            [ksg(*draw(key, nats), cfg.neighbours) for key in jax.random.split(key, cfg.seeds)]
            for nats in cfg.nats
        ]
    )


def critics(cfg: Config, dimensions: int, key) -> dict[str, np.ndarray]:
    """By name, what each bound says of fresh batches after training, (nats, seeds, judged): all trained at once."""

    def one(nats, key):
        key_climb, key_judge = jax.random.split(key)
        pairs = lambda key: correlated_gaussians(key, cfg.batch, dimensions, nats)
        params = climb(
            tuple(BOUNDS), pairs, critic_spec(dimensions, cfg.hidden), key_climb, cfg.steps, cfg.lr
        )

        def judge(key):
            x, y = pairs(key)
            return {name: bound(scores(params[name], x, y)) for name, bound in BOUNDS.items()}

        return jax.lax.map(judge, jax.random.split(key_judge, cfg.judged))

    by_seed = jax.vmap(one, (None, 0))
    said = jax.jit(jax.vmap(by_seed, (0, None)))(
        jnp.array(cfg.nats), jax.random.split(key, cfg.seeds)
    )
    return {name: np.asarray(batches, np.float64) for name, batches in said.items()}


def judged(cfg: Config, key) -> tuple[dict, dict]:
    """By (estimator, dimensions): the estimates (nats, seeds), and the standard deviation of a single estimate (nats,): over seeds for KSG, whose estimate
    takes all points, over batches for a bound."""
    estimate, spread = {}, {}
    for dimensions in cfg.dims:
        key_points, key_critics = jax.random.split(jax.random.fold_in(key, dimensions))
        estimate["ksg", dimensions] = neighbours(cfg, dimensions, key_points)
        spread["ksg", dimensions] = estimate["ksg", dimensions].std(1, ddof=1)
        for name, batches in critics(cfg, dimensions, key_critics).items():
            estimate[name, dimensions], spread[name, dimensions] = (
                batches.mean(2),
                batches.std(2, ddof=1).mean(1),
            )
    return estimate, spread


def known_channels(e: float) -> dict[str, tuple[np.ndarray, float]]:
    """By name: the channel, and its capacity by the closed forms at the top of this file, 0 < e < 1."""
    h = -e * np.log(e) - (1 - e) * np.log(1 - e)
    return {
        "symmetric": (np.array([[1 - e, e], [e, 1 - e]]), np.log(2) - h),
        "erasure": (np.array([[1 - e, e, 0], [0, e, 1 - e]]), (1 - e) * np.log(2)),
        "z": (np.array([[1, 0], [e, 1 - e]]), np.log1p((1 - e) * e ** (e / (1 - e)))),
    }


def channels(cfg: Config) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Errors of the capacity of known channels, and how far the bounds of random ones are apart; the capacities by channel over e."""
    noise, error, found = np.linspace(0.05, 0.95, 19), 0.0, {}
    for e in noise:
        for name, (channel, exact) in known_channels(e).items():
            found.setdefault(name, []).append(float(capacity(channel).lower))
            error = max(error, abs(found[name][-1] - exact))
    rng = np.random.default_rng(cfg.seed)
    several = [
        capacity(rng.dirichlet(np.ones(cfg.letters), cfg.letters)) for _ in range(cfg.channels)
    ]
    gap = max(float(one.upper - one.lower) for one in several)
    return {"capacity_error": float(error), "capacity_gap": gap}, {"e": noise} | {
        name: np.array(values) for name, values in found.items()
    }


def study(cfg: Config, key) -> Result:
    """Bias and spread of every estimator at every information, in every dimension, the claims' numbers among them; and the channels."""
    estimate, spread = judged(cfg, key)
    truth, low, high = np.array(cfg.nats), min(cfg.dims), max(cfg.dims)
    bias = {case: values.mean(1) - truth for case, values in estimate.items()}
    metrics = {
        f"{name}_{d}d_bias_{nats:g}": float(bias[name, d][i])
        for name, d in bias
        for i, nats in enumerate(cfg.nats)
    }
    few = truth <= cfg.moderate
    metrics["ksg_error"] = float(np.abs(bias["ksg", low][truth <= 2 * cfg.moderate]).max())
    for name in BOUNDS:
        metrics[f"{name}_error"] = float(np.abs(bias[name, low][few]).max())
        metrics[f"{name}_spread"] = float(spread[name, high][-1])
    metrics["ksg_high_dimension_share"] = float(estimate["ksg", high][-1].mean() / truth[-1])
    metrics["infonce_highest"], metrics["log_batch"] = (
        float(max(estimate["infonce", d].max() for d in cfg.dims)),
        float(np.log(cfg.batch)),
    )
    metrics["dv_spread_growth"] = float(spread["dv", high][-1] / spread["dv", high][0])
    metrics["dv_spread_over_infonce"] = metrics["dv_spread"] / metrics["infonce_spread"]
    more, capacities = channels(cfg)
    return Result(
        metrics | more,
        {"information.png": draw(estimate, spread, cfg), "capacity.png": draw_channels(capacities)},
    )


def draw(estimate, spread, cfg: Config):
    """For each estimator the estimates over the truth, one standard deviation of a single estimate either side; below, that deviation."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(17, 6.6), layout="constrained")
    above, below = figure.subplots(
        2, len(ESTIMATORS), sharex=True, sharey="row", height_ratios=(2, 1)
    )
    truth = np.array(cfg.nats)
    for name, ax, deviation in zip(ESTIMATORS, above, below, strict=True):
        ax.plot([0, truth[-1]], [0, truth[-1]], "--", color="gray", lw=1, label="truth")
        for i, d in enumerate(cfg.dims):
            mean, half = estimate[name, d].mean(1), spread[name, d]
            ax.plot(
                truth, mean, "-o", ms=4, color=f"C{i}", label=f"{d} dimension{'s' if d > 1 else ''}"
            )
            ax.fill_between(truth, mean - half, mean + half, color=f"C{i}", alpha=0.2, lw=0)
            deviation.semilogy(truth, half, "-o", ms=4, color=f"C{i}")
        if name == "infonce":
            ax.axhline(np.log(cfg.batch), color="k", lw=1, ls=":")
            ax.annotate(
                f"log batch = {np.log(cfg.batch):.2f}",
                (0, np.log(cfg.batch)),
                xytext=(2, 4),
                textcoords="offset points",
            )
        ax.set_title(TITLES[name])
        deviation.set_xlabel("true information, nats")
        for panel in (ax, deviation):
            panel.grid(alpha=0.3)
    above[0].set_ylabel("estimate, nats")
    below[0].set_ylabel("standard deviation\nof one estimate")
    above[0].legend(frameon=False, loc="upper left")
    return figure


def draw_channels(capacities: dict[str, np.ndarray]):
    """Capacity over the noise, computed (dots) and in closed form (lines)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 4), layout="constrained")
    ax, noise = figure.subplots(), np.linspace(0.001, 0.999, 300)
    for i, name in enumerate(known_channels(0.5)):
        ax.plot(
            noise,
            [known_channels(e)[name][1] for e in noise],
            color=f"C{i}",
            label=f"{name.capitalize() if name == 'z' else name} channel",
        )
        ax.plot(capacities["e"], capacities[name], "o", ms=4, color=f"C{i}")
    ax.set(
        title="capacity: Blahut-Arimoto (dots), closed forms (lines)",
        xlabel="probability of an error",
        ylabel="nats",
    )
    ax.legend(frameon=False)
    ax.grid(alpha=0.3)
    return figure
