"""Estimators of mutual information on Gaussians whose information is known, and channel capacity.

The estimators are in `panorax.maths.information.mutual_information`, the Blahut-Arimoto algorithm
in `panorax.maths.information.blahut_arimoto`. The study measures how each estimator fails:

    KSG        assumes a constant density up to the k-th neighbour: too low in high dimension
    InfoNCE    cannot exceed log B for batches of B pairs; it has the smallest variance
    DV, MINE,  n Var E_q e^f of the best critic is of order e^I (Song & Ermon 2020,
    NWJ        arXiv:1910.06222): the variance of one batch grows with the information I
    critics    in one dimension the ratio of densities is a ridge of width e^-I, which a small
               perceptron does not find

KSG gets `points` pairs. Critics train on `steps` batches of fresh pairs and are evaluated on new
pairs. The capacity of channels is bounded from both sides and compared with the closed forms of
`panorax.maths.information.channels`.
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
from panorax.maths.information.blahut_arimoto import capacity
from panorax.maths.information.channels import known_channels
from panorax.maths.information.mutual_information import (
    BOUNDS,
    climb,
    correlated_gaussians,
    critic_spec,
    ksg,
    scores,
)

TITLES = {"infonce": "InfoNCE", "dv": "Donsker-Varadhan", "mine": "MINE", "nwj": "NWJ"}


@checked
class Config:
    dims: tuple[Count, ...] = (1, 5, 20)
    """dimensions of x, equal to the dimensions of y"""
    nats: tuple[NonNegative, ...] = (0.5, 1.0, 2.0, 4.0, 8.0)
    """true mutual information in nats, rising"""
    moderate: Positive = 1.0
    """largest true information, in nats, that claims about critics cover; claims about KSG cover
    twice this"""
    points: Count = 10_000
    """pairs given to KSG"""
    neighbours: Count = 3
    """number k of nearest neighbours of KSG"""
    hidden: Count = 64
    """width of the critics' hidden layers"""
    batch: Count = 128
    """pairs per batch"""
    steps: Count = 2000
    """training steps of the critics"""
    lr: Positive = 2e-3
    """first learning rate of Adam, which falls to 0"""
    judged: Count = 200
    """batches on which each bound is evaluated"""
    seeds: Count = 4
    """seeds of each estimate"""
    channels: Count = 20
    """random channels"""
    letters: Count = 8
    """inputs of each random channel, equal to its outputs"""
    seed: Whole = 0
    """seed of all random numbers"""

    def __post_init__(self):
        if not self.dims or not self.nats:
            raise UserError("dims and nats must not be empty")
        if tuple(sorted(set(self.nats))) != self.nats or self.nats[0] > self.moderate:
            raise UserError("nats must rise and start at or below moderate")
        if min(self.seeds, self.batch, self.judged) < 2:
            raise UserError("seeds, batch and judged must be at least 2")
        if self.neighbours >= self.points:
            raise UserError("neighbours must be fewer than points")


class Estimates(NamedTuple):
    """One estimator in one dimension, for every true information."""

    value: np.ndarray
    """estimates in nats (nats, seeds)"""
    spread: np.ndarray
    """standard deviation of a single estimate, in nats (nats,): over seeds for KSG, over batches
    for critics"""

    def bias(self, cfg: Config) -> np.ndarray:
        """Mean estimate minus the truth, in nats (nats,)."""
        return self.value.mean(1) - np.array(cfg.nats)


ByDimension = dict[int, Estimates]


def ksg_estimates(key, dimensions: int, cfg: Config) -> Estimates:
    """Estimates of KSG from `cfg.points` pairs."""
    draw = jax.jit(lambda key, nats: correlated_gaussians(key, cfg.points, dimensions, nats))
    keys = jax.random.split(key, cfg.seeds)
    value = np.array([[ksg(*draw(key, nats), cfg.neighbours) for key in keys] for nats in cfg.nats])
    return Estimates(value, value.std(1, ddof=1))


def critic_bounds(key, dimensions: int, cfg: Config) -> dict[str, np.ndarray]:
    """Bounds of trained critics on fresh batches, (nats, seeds, batches) by name.
    All critics train in one program.
    """

    def bounds(nats, key):
        key_climb, key_evaluate = jax.random.split(key)
        pairs = lambda key: correlated_gaussians(key, cfg.batch, dimensions, nats)
        critic = critic_spec(dimensions, cfg.hidden)
        params = climb(tuple(BOUNDS), pairs, critic, key_climb, cfg.steps, cfg.lr)

        def evaluate(key):
            x, y = pairs(key)
            return {name: bound(scores(params[name], x, y)) for name, bound in BOUNDS.items()}

        return jax.lax.map(evaluate, jax.random.split(key_evaluate, cfg.judged))

    grid = jax.jit(jax.vmap(jax.vmap(bounds, (None, 0)), (0, None)))
    values = grid(jnp.array(cfg.nats), jax.random.split(key, cfg.seeds))
    return {name: np.asarray(batches, np.float64) for name, batches in values.items()}


def ksg_metrics(estimates: ByDimension, cfg: Config) -> dict[str, float]:
    """Bias of KSG in every dimension, and the metrics of the claims."""
    bias = {d: e.bias(cfg) for d, e in estimates.items()}
    by_case = {(d, nats): bias[d][i] for d in bias for i, nats in enumerate(cfg.nats)}
    covered = np.array(cfg.nats) <= 2 * cfg.moderate
    last = estimates[max(cfg.dims)].value[-1].mean()
    return {
        **family("ksg_{}d_bias_{:g}", by_case),
        "ksg_error": float(np.abs(bias[min(cfg.dims)][covered]).max()),
        "ksg_high_dimension_share": float(last / cfg.nats[-1]),
    }


def critic_metrics(estimates: dict[str, ByDimension], cfg: Config) -> dict[str, float]:
    """Bias of every bound in every dimension, and the metrics of the claims."""
    low, high = min(cfg.dims), max(cfg.dims)
    bias = {
        (name, d, nats): estimates[name][d].bias(cfg)[i]
        for name in BOUNDS
        for d in cfg.dims
        for i, nats in enumerate(cfg.nats)
    }
    covered = np.array(cfg.nats) <= cfg.moderate
    error = {name: np.abs(estimates[name][low].bias(cfg)[covered]).max() for name in BOUNDS}
    spread = {name: estimates[name][high].spread for name in BOUNDS}
    return {
        **family("{}_{}d_bias_{:g}", bias),
        **family("{}_error", error),
        **family("{}_spread", {name: s[-1] for name, s in spread.items()}),
        "infonce_highest": float(max(e.value.max() for e in estimates["infonce"].values())),
        "log_batch": float(np.log(cfg.batch)),
        "dv_spread_growth": float(spread["dv"][-1] / spread["dv"][0]),
        "dv_spread_over_infonce": float(spread["dv"][-1] / spread["infonce"][-1]),
    }


def channel_capacities(noise: np.ndarray) -> dict[str, np.ndarray]:
    """Closed-form capacity in nats of each known channel at every error probability."""
    known = [known_channels(p) for p in noise]
    return {name: np.array([each[name].capacity for each in known]) for name in known[0]}


def neighbours(key, cfg: Config) -> Result:
    """KSG in every dimension at every information."""
    estimates = {d: ksg_estimates(jax.random.fold_in(key, d), d, cfg) for d in cfg.dims}
    return Result(ksg_metrics(estimates, cfg), {"ksg.png": draw_ksg(estimates, cfg)})


def critics(key, cfg: Config) -> Result:
    """Every critic in every dimension at every information."""
    estimates = {name: {} for name in BOUNDS}
    for d in cfg.dims:
        for name, x in critic_bounds(jax.random.fold_in(key, d), d, cfg).items():
            estimates[name][d] = Estimates(x.mean(2), x.std(2, ddof=1).mean(1))
    return Result(
        critic_metrics(estimates, cfg),
        {
            "critics.png": draw_critics(estimates, cfg),
            "spread.png": draw_spread(estimates, cfg),
        },
    )


def channels(key, cfg: Config) -> Result:
    """Capacities of known channels beside closed forms, and both bounds of random channels."""
    noise = np.linspace(0.05, 0.95, 19)
    exact = channel_capacities(noise)
    channels_at = [known_channels(p) for p in noise]
    computed = {
        name: np.array([float(capacity(known[name].matrix).lower) for known in channels_at])
        for name in exact
    }
    error = max(np.abs(computed[name] - exact[name]).max() for name in exact)
    rng = np.random.default_rng(cfg.seed)
    random = [
        capacity(rng.dirichlet(np.ones(cfg.letters), cfg.letters)) for _ in range(cfg.channels)
    ]
    gap = max(float(bounds.upper - bounds.lower) for bounds in random)
    return Result(
        {"capacity_error": float(error), "capacity_gap": gap},
        {"capacity.png": draw_capacities(noise, computed)},
    )


def draw_estimates(ax, estimates: ByDimension, cfg: Config):
    """Mean estimates over the truth, in bands of one standard deviation of a single estimate."""
    truth = np.array(cfg.nats)
    ax.plot([0, truth[-1]], [0, truth[-1]], "--", color="gray", lw=1, label="truth")
    for color, (d, (value, spread)) in zip(figures.COLORS, estimates.items()):
        mean = value.mean(1)
        ax.plot(truth, mean, "-o", ms=4, color=color, label=f"{d}-dimensional")
        ax.fill_between(truth, mean - spread, mean + spread, color=color, alpha=0.2, lw=0)
    ax.set(xlabel="true information (nats)", ylabel="estimate (nats)")


def draw_ksg(estimates: ByDimension, cfg: Config):
    """Estimates of KSG."""
    figure, (ax,) = figures.panels()
    draw_estimates(ax, estimates, cfg)
    ax.set_title("KSG nearest neighbours")
    return figures.legends(figure)


def draw_critics(estimates: dict[str, ByDimension], cfg: Config):
    """Estimates of every bound; the dotted line is the limit of InfoNCE."""
    figure, axes = figures.panels(len(BOUNDS), sharey=True)
    for ax, name in zip(axes, BOUNDS, strict=True):
        draw_estimates(ax, estimates[name], cfg)
        ax.set_title(TITLES[name])
        if name == "infonce":
            ax.axhline(np.log(cfg.batch), color="k", lw=1, ls=":", label="log batch")
        ax.label_outer()
    return figures.legends(figure)


def draw_spread(estimates: dict[str, ByDimension], cfg: Config):
    """Standard deviation of every bound over batches."""
    figure, axes = figures.panels(len(BOUNDS), sharey=True)
    for ax, name in zip(axes, BOUNDS, strict=True):
        for d, each in estimates[name].items():
            ax.semilogy(cfg.nats, each.spread, "-o", ms=4, label=f"{d}-dimensional")
        ax.set(title=TITLES[name], xlabel="true information (nats)")
        ax.set_ylabel("standard deviation of one batch (nats)")
        ax.label_outer()
    return figures.legends(figure)


def draw_capacities(noise: np.ndarray, computed: dict[str, np.ndarray]):
    """Capacity over the error probability: Blahut-Arimoto as dots, closed forms as lines."""
    figure, (ax,) = figures.panels()
    fine = np.linspace(0.001, 0.999, 300)
    for color, (name, exact) in zip(figures.COLORS, channel_capacities(fine).items()):
        ax.plot(fine, exact, color=color, label=f"{name} channel")
        ax.plot(noise, computed[name], "o", ms=4, color=color)
    ax.set(title="Blahut-Arimoto (dots), closed forms (lines)")
    ax.set(xlabel="error probability", ylabel="capacity (nats)")
    return figures.legends(figure)


def study(cfg: Config) -> dict[str, Part]:
    """KSG, critics, and channel capacity."""
    return {
        "neighbours": functools.partial(neighbours, cfg=cfg),
        "critics": functools.partial(critics, cfg=cfg),
        "channels": functools.partial(channels, cfg=cfg),
    }
