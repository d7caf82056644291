"""Descent of a tanh network on the digits from weights of 0, where every gradient vanishes.

A network of two matrices has a strict saddle at 0, which noise leaves. A network of three has a
Hessian of 0 there (`panorax.theory.saddle_points.saddles`).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core import figures
from panorax.core.state import Result
from panorax.core.study import family
from panorax.data import datasets
from panorax.maths.lanczos import top_eigenpairs
from panorax.maths.optimisation.curvature import hessian_product
from panorax.maths.optimisation.perturbed_descent import Noise, descent
from panorax.theory.saddle_points import saddles

KINDS = {"descent": None, "noise": Noise(radius=1e-2, small=1e-3, wait=100, enough=1e-6)}
"""kinds of descent"""


class Training(NamedTuple):
    """One descent of the network of two matrices."""

    loss: float
    """mean cross entropy after the last step, in nats"""
    accuracy: float
    """share of the training digits that are classified correctly"""
    losses: np.ndarray
    """mean cross entropy before each step and after the last one, (steps + 1,), in nats"""


def lowest_curvature(f, x, key) -> float:
    """The smallest eigenvalue of the Hessian of f at x, by 20 steps of Lanczos."""

    @jax.jit
    def largest_of_negative(x):
        product = lambda v: -hessian_product(f, x, v)
        return top_eigenpairs(product, x, 1, 20, key)[0][0]

    return -float(largest_of_negative(x))


def from_zero(key, hidden: int, steps: int) -> Result:
    """Descent with and without noise, and the lowest curvature at 0 of two and three matrices."""
    x, label, _, _ = datasets.digit_vectors()
    loss, accuracy, n = saddles.tanh_network(x, label, 2, hidden)
    trainings = {}
    for kind, noise in KINDS.items():
        run = jax.jit(lambda x, noise=noise: descent(loss, x, 0.3, steps, noise, key))
        end = run(jnp.zeros(n))
        trainings[kind] = Training(float(end.value), float(accuracy(end.x)), np.asarray(end.values))
    curvature = {}
    for depth in (2, 3):
        f, _, n = saddles.tanh_network(x, label, depth, hidden)
        curvature[depth] = lowest_curvature(f, jnp.zeros(n), key)
    metrics = {
        **family("zero_loss_{}", {kind: t.loss for kind, t in trainings.items()}),
        **family("zero_accuracy_{}", {kind: t.accuracy for kind, t in trainings.items()}),
        **family("zero_curvature_depth_{}", curvature),
    }
    return Result(metrics, {"from_zero.png": draw_losses(trainings)})


def draw_losses(trainings: dict[str, Training]):
    """Loss over the steps."""
    figure, (ax,) = figures.panels()
    for kind, training in trainings.items():
        ax.plot(training.losses, label={"descent": "descent", "noise": "with noise"}[kind])
    ax.set(title="network on the digits, from weights of 0")
    ax.set(xlabel="step", ylabel="cross entropy (nats)", ylim=(0, None))
    return figures.legends(figure)
