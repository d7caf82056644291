"""Flat and sharp minima: what the batch size, warmup and sharpness-aware minimisation change where the training loss is the same.

The noise of a small batch is said to throw a walk out of sharp minima, so that it settles in flat ones, which generalise (Hochreiter & Schmidhuber 1997;
Keskar et al. 2017, arXiv:1609.04836). Gradient descent with rate h cannot stay where the largest eigenvalue of the Hessian is above 2/h (Cohen et al.
2021, arXiv:2103.00065), so a larger rate also means a flatter end; warmup lets a larger rate through (Gilmer et al. 2021, arXiv:2110.04369).
Sharpness-aware minimisation descends the gradient at the worst point nearby (Foret et al. 2021, arXiv:2010.01412):

    g(w + rho g(w) / |g(w)|)                     sharpness measured: max over |e| <= rho of L(w + e) - L(w), by projected ascent

All stop at the first check where the loss on all training images is below the target, so that what is compared is not how far they got.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from panorax.core import spec
from panorax.core.errors import UserError
from panorax.core.ranges import Count, Positive, Whole, checked
from panorax.core.state import Result
from panorax.core.step import update
from panorax.data.datasets import digit_cloud
from panorax.maths.estimates import mean_interval
from panorax.maths.lanczos import hutchinson, top_eigenpairs
from panorax.maths.optimisation.curvature import hessian_product
from panorax.nets import mlp
from panorax.ops.losses import cross_entropy

ASCENT = 20
"""steps of the search for the worst point nearby"""


class Way(NamedTuple):
    """How a network is trained: batch size, learning rate, steps in which the rate rises to it, and the radius of SAM, 0 without."""

    batch: int
    rate: float
    warmup: int = 0
    rho: float = 0.0


@checked
class Config:
    seeds: Count = 5
    """each with its own network and its own split of the digits"""
    training: Count = 512
    """digits that are learned from; the others of 1,797 are held out"""
    hidden: tuple[Count, ...] = (128, 128)
    small: Count = 8
    """batch size"""
    large: Count = 512
    """batch size"""
    rate: Positive = 0.2
    """of both, and of the small batch with SAM"""
    scale: Positive = 4.0
    """by which the rate of the large batch is also multiplied"""
    warmup: Count = 100
    """steps of the large batch in which that rate rises from 0"""
    rho: Positive = 0.1
    """radius of SAM, and of the sharpness that is measured"""
    target: Positive = 0.02
    """training loss in nats at which all stop"""
    every: Count = 2
    """steps between two looks at the loss"""
    most_steps: Count = 5000
    lanczos_steps: Count = 30
    probes: Count = 20
    """for the trace"""
    seed: Whole = 0

    def __post_init__(self):
        if (
            self.seeds < 2
            or not max(self.small, self.large) <= self.training <= 1700
            or not self.small < self.large
        ):
            raise UserError(
                "seeds must be at least 2, small below large, large at most training, training at most 1700"
            )

    def ways(self) -> dict[str, Way]:
        """Everything that is compared."""
        fast = self.rate * self.scale
        return {
            "small": Way(self.small, self.rate),
            "large": Way(self.large, self.rate),
            "large_fast": Way(self.large, fast),
            "large_fast_warmup": Way(self.large, fast, self.warmup),
            "small_sam": Way(self.small, self.rate, rho=self.rho),
            "large_sam": Way(self.large, self.rate, rho=self.rho),
        }


def mean_loss(params, x, label):
    """Cross entropy in nats of an MLP with tanh, which has second derivatives everywhere."""
    return jnp.mean(cross_entropy(mlp.perceptron(params, x), label))


def along(params, direction, length):
    """`params` moved by `length` along the direction, of whatever size it is."""
    size = jnp.maximum(optax.tree.norm(direction), jnp.finfo(jnp.float32).tiny)
    return jax.tree.map(lambda w, d: w + length * d / size, params, direction)


def sam(rho: float) -> optax.GradientTransformationExtraArgs:
    """Replaces the gradient by that at the point at distance rho up the gradient; rho = 0 changes nothing."""

    def update(grads, state, params, *, value_fn, **unused):
        return jax.grad(value_fn)(along(params, grads, rho)) if rho else grads, state

    return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)


def sharpness(loss, params, rho: float):
    """max over |e| <= rho of L(w + e) - L(w), from below: the best of the points of projected gradient ascent, of which the first is rho up the gradient."""

    def climb(at, _):
        ahead = along(at, jax.grad(loss)(at), rho / 2)
        offset = jax.tree.map(jnp.subtract, ahead, params)
        at = along(params, offset, jnp.minimum(optax.tree.norm(offset), rho))
        return at, loss(at)

    _, losses = jax.lax.scan(climb, along(params, jax.grad(loss)(params), rho), length=ASCENT)
    return jnp.max(losses) - loss(params)


def train_to_target(key, params, x, label, way: Way, cfg: Config):
    """`params` after steps of SGD down to the target, how many steps it took, and the loss of all training images."""
    loss_of_all = lambda params: mean_loss(params, x, label)

    rate = (lambda i: way.rate * jnp.minimum(1, (i + 1) / way.warmup)) if way.warmup else way.rate
    tx = optax.chain(sam(way.rho), optax.sgd(rate))

    def loss_fn(params, extra, rows, key):
        return mean_loss(params, x[rows], label[rows]), (extra, {})

    def step(carry, key):
        rows = jax.random.choice(key, len(x), (way.batch,), replace=False)
        params, opt, _, _ = update(loss_fn, tx, *carry, (), rows, key)
        return (params, opt), None

    def some_steps(carry):
        params, opt, i, _ = carry
        keys = jax.vmap(lambda j: jax.random.fold_in(key, i + j))(jnp.arange(cfg.every))
        (params, opt), _ = jax.lax.scan(step, (params, opt), keys)
        return params, opt, i + cfg.every, loss_of_all(params)

    unfinished = lambda carry: (carry[3] > cfg.target) & (carry[2] < cfg.most_steps)
    params, _, i, loss = jax.lax.while_loop(
        unfinished, some_steps, (params, tx.init(params), 0, loss_of_all(params))
    )
    return params, i, loss


@functools.partial(jax.jit, static_argnames=("way", "cfg"))
def measure(key, way: Way, cfg: Config):
    """Of a network of this key trained one way: the curvature of the loss of all training images where it stopped, and what was held out says."""
    key_split, key_init, key_train, key_top, key_trace = jax.random.split(key, 5)
    order = jax.random.permutation(key_split, 1797)
    (x, held), (label, held_label) = (
        jnp.split(jnp.asarray(a)[order], [cfg.training]) for a in digit_cloud(1797)
    )
    params = spec.init(mlp.spec((x.shape[1], *cfg.hidden, 10), mlp.fan_in(1.0)), key_init)
    params, steps, loss = train_to_target(key_train, params, x, label, way, cfg)
    loss_of_all = lambda params: mean_loss(params, x, label)
    product = lambda v: hessian_product(loss_of_all, params, v)
    return {
        "steps": steps,
        "loss": loss,
        "top_eigenvalue": top_eigenpairs(product, params, 1, cfg.lanczos_steps, key_top)[0][0],
        "trace": jnp.mean(hutchinson(product, params, cfg.probes, key_trace)),
        "sharpness": sharpness(loss_of_all, params, cfg.rho),
        "gap": mean_loss(params, held, held_label) - loss,
        "held_out_error": jnp.mean(
            (jnp.argmax(mlp.perceptron(params, held), 1) != held_label).astype(jnp.float32)
        ),
    }


def study(cfg: Config, key) -> Result:
    """Every way for every seed, the same networks and splits for all; differences between two ways seed by seed, as their mean and 95% interval."""
    keys = jax.random.split(key, cfg.seeds)
    measured = {}
    for name, way in cfg.ways().items():
        of_seeds = jax.jit(jax.vmap(lambda key, way=way: measure(key, way, cfg)))(keys)
        measured[name] = {quantity: np.asarray(x, np.float64) for quantity, x in of_seeds.items()}
    metrics = {
        f"{quantity}_{name}": float(x.mean())
        for name, row in measured.items()
        for quantity, x in row.items()
    }
    metrics["largest_loss"] = max(float(row["loss"].max()) for row in measured.values())
    metrics["smallest_loss"] = min(float(row["loss"].min()) for row in measured.values())
    for one, other in (
        ("large", "small"),
        ("small", "small_sam"),
        ("large", "large_sam"),
        ("large_fast", "large_fast_warmup"),
        ("large", "large_fast_warmup"),
    ):
        for quantity in ("top_eigenvalue", "sharpness", "trace", "gap", "held_out_error"):
            difference = measured[one][quantity] - measured[other][quantity]
            low, high = mean_interval(difference)
            metrics |= {
                f"{quantity}_{one}_over_{other}_low": low,
                f"{quantity}_{one}_over_{other}_high": high,
            }
    return Result(metrics, {"flat_minima.png": draw(measured)})


def draw(measured: dict[str, dict[str, np.ndarray]]):
    """Every seed's curvature and what it says of the digits held out."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 4.5), layout="constrained")
    panels = {
        "top_eigenvalue": "largest eigenvalue",
        "sharpness": "sharpness within rho",
        "gap": "held-out less training loss",
    }
    *curvature, scatter = figure.subplots(1, 4)
    for ax, (quantity, title) in zip(curvature, panels.items(), strict=True):
        for i, (name, row) in enumerate(measured.items()):
            ax.plot(row[quantity], np.full(len(row[quantity]), -i), "o", color=f"C{i}", alpha=0.6)
            ax.plot(row[quantity].mean(), -i, "|", color="black", ms=16)
        ax.set(title=title, xscale="log")
        ax.set_yticks(
            -np.arange(len(measured)),
            [name.replace("_", " ") for name in measured] if ax is curvature[0] else [],
        )
        ax.grid(alpha=0.3, which="both")
    for i, (name, row) in enumerate(measured.items()):
        scatter.plot(
            row["top_eigenvalue"],
            100 * row["held_out_error"],
            "o",
            color=f"C{i}",
            alpha=0.6,
            label=name.replace("_", " "),
        )
    scatter.set(
        title="held-out error over curvature", xlabel="largest eigenvalue", ylabel="%", xscale="log"
    )
    scatter.grid(alpha=0.3, which="both")
    return figure
