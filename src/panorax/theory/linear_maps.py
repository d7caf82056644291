"""Linear maps: their geometry, their rank, and the best approximation of lower rank.

Every matrix is a rotation (or reflection), a scaling along orthogonal axes, and a rotation:
A = U diag(s) V^T. A square matrix is also a symmetric stretch followed by a rotation, the polar
decomposition A = R S with R = U V^T and S = V diag(s) V^T. The rank, the number of s above zero, is
the number of dimensions that A keeps. Among matrices of rank k the nearest to A, in the Frobenius
and in the spectral norm, keeps the k largest singular values (Eckart & Young 1936; Mirsky 1960):

    |A - A_k|_F = sqrt(s_{k+1}^2 + s_{k+2}^2 + ...),      |A - A_k|_2 = s_{k+1}

Source: Trefethen & Bau, Numerical Linear Algebra, lectures 4 and 5. Low-rank updates of networks:
Hu et al. 2021 (LoRA, arXiv:2106.09685).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from panorax.core import figures
from panorax.core.errors import UserError
from panorax.core.ranges import Count, Whole, checked
from panorax.core.state import Result
from panorax.core.study import Part, family
from panorax.data import datasets

RANKS = (1, 5, 10, 20, 40)


@checked
class Config:
    width: Count = 100
    """dimensions of the random map's inputs and outputs"""
    rank: Count = 10
    """rank of the random map, and dimensions of the random subspaces"""
    points: Count = 1000
    """random points mapped by the random map"""
    rivals: Count = 200
    """random subspaces compared with the best approximation of the digits"""
    seed: Whole = 0
    """seed of all random numbers"""

    def __post_init__(self):
        if not 1 <= self.rank < self.width <= self.points:
            raise UserError(
                f"rank {self.rank} must be below width {self.width}, "
                f"and width at most points {self.points}"
            )


def rotation(angle: float) -> Float[Array, "2 2"]:
    """Rotation of the plane by `angle`, in radians counterclockwise."""
    c, s = jnp.cos(angle), jnp.sin(angle)
    return jnp.array([[c, -s], [s, c]])


def scaling(x: float, y: float) -> Float[Array, "2 2"]:
    """Scaling of the axes of the plane by x and y."""
    return jnp.diag(jnp.array([x, y], jnp.float32))


def shear(amount: float) -> Float[Array, "2 2"]:
    """Shift of every point along x by `amount` times its y, which preserves areas."""
    return jnp.array([[1.0, amount], [0.0, 1.0]])


def projection(angle: float) -> Float[Array, "2 2"]:
    """Orthogonal projection onto the line through 0 at `angle`, in radians: rank 1, P P = P."""
    direction = jnp.array([jnp.cos(angle), jnp.sin(angle)])
    return jnp.outer(direction, direction)


def polar(a: Float[Array, "n n"]) -> tuple[Float[Array, "n n"], Float[Array, "n n"]]:
    """Polar decomposition (R, S) with A = R S, R orthogonal, S symmetric positive semidefinite.

    S is unique. R is unique if A is invertible.
    """
    u, s, vt = jnp.linalg.svd(a)
    return u @ vt, (vt.T * s[None]) @ vt


def numerical_rank(a: Float[Array, "m n"]) -> Float[Array, ""]:
    """Number of singular values above max(m, n) * eps * s_1, the rounding error of zeros."""
    s = jnp.linalg.svd(a, compute_uv=False)
    return jnp.sum(s > max(a.shape) * jnp.finfo(a.dtype).eps * s[0])


def low_rank(a: Float[Array, "m n"], k: int) -> Float[Array, "m n"]:
    """The nearest matrix of rank at most k: U_k diag(s_k) V_k^T.

    Raises ValueError if k is not between 0 and min(m, n).
    """
    if not 0 <= k <= min(a.shape):
        raise ValueError(f"rank {k} is not between 0 and {min(a.shape)}")
    u, s, vt = jnp.linalg.svd(a, full_matrices=False)
    return (u[:, :k] * s[None, :k]) @ vt[:k]


def tails(s: Float[Array, " r"]) -> Float[Array, " r+1"]:
    """sqrt(sum_{i > k} s_i^2) for k = 0 .. r: the smallest Frobenius error of rank k."""
    return jnp.sqrt(jnp.append(jnp.cumsum(jnp.square(s[::-1]))[::-1], 0.0))


def planes(key) -> Result:
    """Polar decomposition, determinant and rank of four maps of the plane."""
    maps = {
        "rotation": rotation(0.7),
        "scaling": scaling(1.6, 0.5),
        "shear": shear(1.0),
        "projection": projection(0.4),
    }
    gap = lambda a, r, s: float(jnp.abs(r @ s - a).max())
    metrics = family("{}_determinant", {name: jnp.linalg.det(a) for name, a in maps.items()})
    metrics |= family("{}_rank", {name: numerical_rank(a) for name, a in maps.items()})
    metrics["polar_largest_gap"] = max(gap(a, *polar(a)) for a in maps.values())
    return Result(metrics, {"planes.png": draw_planes(maps)})


def rank(key, cfg: Config) -> Result:
    """Rank of random data before and after a random map of low rank."""
    key_map, key_data = jax.random.split(key)
    left, right = jax.random.normal(key_map, (2, cfg.width, cfg.rank))
    x = jax.random.normal(key_data, (cfg.points, cfg.width))
    before, after = numerical_rank(x), numerical_rank(x @ left @ right.T)
    return Result({"rank_before": float(before), "rank_after": float(after)})


def digits(key, cfg: Config) -> Result:
    """The digits as one matrix: errors of the best approximations, and of random subspaces."""
    x = jnp.asarray(datasets.digit_vectors()[0])
    x -= jnp.mean(x, 0)[None]
    s = jnp.linalg.svd(x, compute_uv=False)
    exact = tails(s)
    kept = {k: 1 - jnp.square(exact[k] / exact[0]) for k in RANKS}
    metrics = family("digits_kept_{}", kept)
    metrics["eckart_young_largest_gap"] = max(eckart_young_gap(x, s, k) for k in RANKS)
    errors = rival_errors(key, x, cfg)
    metrics["rivals_best_over_exact"] = float(jnp.min(errors) / exact[min(cfg.rank, len(s))])
    return Result(metrics, {"digits.png": draw_tail(np.asarray(exact / exact[0]))})


def eckart_young_gap(x: Float[Array, "m n"], s: Float[Array, " n"], k: int) -> float:
    """Largest relative gap of the two errors of `low_rank(x, k)` from their closed forms."""
    error = x - low_rank(x, k)
    frobenius = float(jnp.linalg.norm(error) / tails(s)[k])
    spectral = float(jnp.linalg.norm(error, 2) / s[k])
    return max(abs(frobenius - 1), abs(spectral - 1))


def rival_errors(key, x: Float[Array, "m n"], cfg: Config) -> Float[Array, " rivals"]:
    """Frobenius errors of the projections of x onto random subspaces of `cfg.rank` dimensions."""

    def error(key):
        basis, _ = jnp.linalg.qr(jax.random.normal(key, (x.shape[1], cfg.rank)))
        return jnp.linalg.norm(x - x @ basis @ basis.T)

    return jax.lax.map(error, jax.random.split(key, cfg.rivals))


def draw_planes(maps: dict[str, Float[Array, "2 2"]]):
    """A grid and the unit circle under each map, with the axes U diag(s)."""
    figure, axes = figures.panels(2, 2)
    angle = np.linspace(0, 2 * np.pi, 200)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    for ax, (name, a) in zip(axes, maps.items(), strict=True):
        a = np.asarray(a)
        draw_grid(ax, a)
        ax.plot(*circle, "--", lw=1, color=figures.COLORS[0], label="unit circle")
        ax.plot(*(a @ circle), color=figures.COLORS[1], label="its image")
        u, s, _ = np.linalg.svd(a)
        for axis in (u * s).T:
            arrow = {"arrowstyle": "->", "color": figures.COLORS[3]}
            ax.annotate("", axis, (0, 0), arrowprops=arrow)
        ax.set(title=f"{name}, s = ({s[0]:.2f}, {s[1]:.2f})", aspect="equal")
        ax.set(xlim=(-2.2, 2.2), ylim=(-2.2, 2.2), xlabel="x", ylabel="y")
    return figures.legends(figure, loc="upper left")


def draw_grid(ax, a: np.ndarray):
    """The image of a square grid under the matrix a."""
    ax.grid(False)
    ends = np.array([-1.5, 1.5])
    for line in np.linspace(-1.5, 1.5, 7):
        for segment in ([[line, line], ends], [ends, [line, line]]):
            ax.plot(*(a @ np.array(segment)), color="0.85", lw=0.8, zorder=0)


def draw_tail(tail: np.ndarray):
    """Share of the variance of the digits outside the best approximation of rank k."""
    figure, (ax,) = figures.panels()
    ax.plot(tail**2, label="best approximation")
    ax.set(title="digits", xlabel="rank k", ylabel="share of variance left")
    ax.set(yscale="log", ylim=(1e-5, 1.2))
    return figures.legends(figure)


def study(cfg: Config) -> dict[str, Part]:
    """Maps of the plane, random data under a map of low rank, and the digits at low rank."""
    return {
        "planes": planes,
        "rank": functools.partial(rank, cfg=cfg),
        "digits": functools.partial(digits, cfg=cfg),
    }
