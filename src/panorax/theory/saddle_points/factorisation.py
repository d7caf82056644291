"""All critical points of a matrix factorisation, and descent from the critical point at 0.

Every critical point of |U V - M|^2 / 2 that is no global minimum is a strict saddle (Baldi & Hornik
1989; Kawaguchi 2016, arXiv:1605.07110): its Hessian has a negative eigenvalue.
"""

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core import figures
from panorax.core.state import Result
from panorax.maths.optimisation.perturbed_descent import Noise, descent
from panorax.theory.saddle_points import saddles

SINGULAR = np.array([16.0, 9.0, 4.0, 1.0])
"""singular values of M"""
RANK = 3
"""columns of U"""
NOISE = Noise(radius=1e-2, small=1e-3, wait=200, enough=1e-6)


class CriticalPoint(NamedTuple):
    """A critical point of the factorisation."""

    subset: tuple[int, ...]
    """indices of the singular values that the point keeps, 0 for the largest"""
    slope: float
    """largest absolute entry of the gradient"""
    curvatures: np.ndarray
    """eigenvalues of the Hessian, ascending"""

    @property
    def index(self) -> int:
        """Number of negative eigenvalues."""
        return int((self.curvatures < -1e-8).sum())

    @property
    def agrees(self) -> bool:
        """True if the gradient vanishes and the index equals its closed form."""
        expected = saddles.index_of_factors(SINGULAR, RANK, self.subset)
        return self.slope <= 1e-9 and self.index == expected


def random_matrix(key) -> np.ndarray:
    """A (5, 4) matrix with singular values SINGULAR and random singular vectors."""
    q, p = (
        np.linalg.qr(np.asarray(jax.random.normal(k, (n, n)), np.float64))[0]
        for k, n in zip(jax.random.split(key), (5, 4), strict=True)
    )
    return q[:, :4] * SINGULAR @ p


def critical_points(m: np.ndarray) -> list[CriticalPoint]:
    """One critical point for each subset of at most RANK singular values."""
    f = saddles.factorisation(m, RANK)
    derivatives = jax.jit(lambda x: (jax.grad(f)(x), jax.hessian(f)(x)))
    points = []
    for size in range(RANK + 1):
        for subset in itertools.combinations(range(len(SINGULAR)), size):
            gradient, hessian = derivatives(saddles.critical_factors(m, RANK, subset))
            slope, curvatures = float(jnp.abs(gradient).max()), np.linalg.eigvalsh(hessian)
            points.append(CriticalPoint(subset, slope, curvatures))
    return points


def losses_from_zero(key) -> dict[str, np.ndarray]:
    """Loss over the steps of descent from U = V = 0, with and without noise."""
    f = saddles.factorisation(np.diag(SINGULAR), RANK)
    zero = jnp.zeros(2 * len(SINGULAR) * RANK)
    run = lambda noise: jax.jit(lambda x: descent(f, x, 0.01, 5000, noise, key))(zero).values
    return {"with noise": np.asarray(run(NOISE)), "descent": np.asarray(run(None))}


def last(losses: np.ndarray) -> float:
    """The loss after the last step; entries after it are NaN."""
    return float(losses[np.isfinite(losses)][-1])


def factorisation(key) -> Result:
    """Indices of all critical points beside the closed form; losses of descent, in float64."""
    with jax.enable_x64(True):
        points = critical_points(random_matrix(key))
        losses = losses_from_zero(key)
    least = 0.5 * float(np.sum(SINGULAR[RANK:] ** 2))
    metrics = {
        "factors_points": float(len(points)),
        "factors_wrong_index": float(sum(not point.agrees for point in points)),
        "factors_not_strict": float(sum(point.index == 0 for point in points)),
        "factors_left_over_least": last(losses["with noise"]) / least,
        "factors_stayed_at": last(losses["descent"]),
    }
    return Result(metrics, {"factorisation.png": draw_factorisation(points, losses, least)})


def draw_factorisation(points: list[CriticalPoint], losses: dict[str, np.ndarray], least: float):
    """Index over the loss of each critical point; loss over the steps from 0."""
    figure, (levels, descents) = figures.panels(2)
    values = [0.5 * np.sum(np.delete(SINGULAR, point.subset) ** 2) for point in points]
    levels.semilogx(values, [point.index for point in points], "o")
    levels.set(title="critical points of a factorisation", xlabel="loss", ylabel="index")
    for name, values in losses.items():
        descents.semilogy(values, label=name)
    descents.axhline(least, color="0.4", ls=":", label="global minimum")
    descents.set(title="descent from 0", xlabel="step", ylabel="loss")
    return figures.legends(figure)
