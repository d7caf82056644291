"""Linear maps: what a matrix does to space, how many dimensions are left, and the best map of fewer.

Every matrix is a rotation (or reflection), a scaling along orthogonal axes, and a rotation, A = U diag(s) V^T; or a symmetric stretch and then a
rotation, A = R S with R = U V^T and S = V diag(s) V^T (the polar decomposition). Its rank, the number of s above zero, is the number of dimensions
that it keeps. Among matrices of rank k the nearest to A, in the Frobenius and in the spectral norm, keeps the k largest singular values:

    |A - A_k|_F = sqrt(s_{k+1}^2 + s_{k+2}^2 + ...),      |A - A_k|_2 = s_{k+1}      (Eckart & Young 1936; Mirsky 1960)

Source: Trefethen & Bau, Numerical Linear Algebra, lectures 4 and 5; low-rank updates of networks: Hu et al. 2021 (LoRA, arXiv:2106.09685).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from panorax.core.errors import UserError
from panorax.core.ranges import Count, Whole, checked
from panorax.core.state import Result
from panorax.data import datasets


@checked
class Config:
    width: Count = 100
    """dimensions of the space that the random map takes to itself"""
    rank: Count = 10
    """of that map"""
    points: Count = 1000
    """of random data that go through it"""
    rivals: Count = 200
    """random subspaces that the best approximation of the digits is compared with"""
    seed: Whole = 0

    def __post_init__(self):
        if not 1 <= self.rank < self.width <= self.points:
            raise UserError(
                f"rank {self.rank} must be below width {self.width}, and width at most points {self.points}"
            )


def rotation(angle: float) -> Float[Array, "2 2"]:
    """Turns the plane by `angle` (radians, counterclockwise)."""
    c, s = jnp.cos(angle), jnp.sin(angle)
    return jnp.array([[c, -s], [s, c]])


def scaling(x: float, y: float) -> Float[Array, "2 2"]:
    """Stretches the axes of the plane by x and y."""
    return jnp.diag(jnp.array([x, y], jnp.float32))


def shear(amount: float) -> Float[Array, "2 2"]:
    """Shifts every point along x by `amount` times its height; areas stay."""
    return jnp.array([[1.0, amount], [0.0, 1.0]])


def projection(angle: float) -> Float[Array, "2 2"]:
    """The nearest point of the line through 0 at `angle`: a map of rank 1 that changes nothing when it is repeated."""
    direction = jnp.array([jnp.cos(angle), jnp.sin(angle)])
    return jnp.outer(direction, direction)


def polar(a: Float[Array, "n n"]) -> tuple[Float[Array, "n n"], Float[Array, "n n"]]:
    """R orthogonal, S symmetric with no negative eigenvalue, A = R S. R is unique where A is invertible, S always."""
    u, s, vt = jnp.linalg.svd(a)
    return u @ vt, (vt.T * s[None]) @ vt


def numerical_rank(a: Float[Array, "m n"]) -> Float[Array, ""]:
    """Singular values above what rounding leaves of zeros: max(m, n) times the precision times the largest."""
    s = jnp.linalg.svd(a, compute_uv=False)
    return jnp.sum(s > max(a.shape) * jnp.finfo(a.dtype).eps * s[0])


def low_rank(a: Float[Array, "m n"], k: int) -> Float[Array, "m n"]:
    """The nearest matrix of rank at most k: U_k diag(s_k) V_k^T. Raises ValueError where k is not between 0 and min(m, n)."""
    if not 0 <= k <= min(a.shape):
        raise ValueError(f"rank {k} is not between 0 and {min(a.shape)}")
    u, s, vt = jnp.linalg.svd(a, full_matrices=False)
    return (u[:, :k] * s[None, :k]) @ vt[:k]


def tails(s: Float[Array, " r"]) -> Float[Array, " r+1"]:
    """sqrt(sum_{i > k} s_i^2) for k = 0 .. r: the smallest Frobenius error that a matrix of rank k leaves."""
    return jnp.sqrt(jnp.append(jnp.cumsum(jnp.square(s[::-1]))[::-1], 0.0))


def study(cfg: Config, key) -> Result:
    """Four maps of the plane; random data through a map of low rank; the digits, all of them as one matrix, by ever fewer directions."""
    key_map, key_data, key_rivals = jax.random.split(key, 3)
    planes = {
        "rotation": rotation(0.7),
        "scaling": scaling(1.6, 0.5),
        "shear": shear(1.0),
        "projection": projection(0.4),
    }
    metrics = {}
    for name, a in planes.items():
        turned, stretched = polar(a)
        metrics[f"{name}_polar_gap"] = float(jnp.abs(turned @ stretched - a).max())
        metrics[f"{name}_determinant"], metrics[f"{name}_rank"] = (
            float(jnp.linalg.det(a)),
            float(numerical_rank(a)),
        )
    metrics["polar_largest_gap"] = max(metrics.pop(f"{name}_polar_gap") for name in planes)

    left, right = jax.random.normal(key_map, (2, cfg.width, cfg.rank))
    x = jax.random.normal(key_data, (cfg.points, cfg.width))
    y = x @ left @ right.T
    metrics["rank_before"], metrics["rank_after"] = (
        float(numerical_rank(x)),
        float(numerical_rank(y)),
    )

    digits = jnp.asarray(datasets.digit_vectors()[0])
    digits -= jnp.mean(digits, 0)[None]
    s, best = jnp.linalg.svd(digits, compute_uv=False), []
    exact = tails(s)
    for k in (1, 5, 10, 20, 40):
        left_over = digits - low_rank(digits, k)
        best.append(abs(float(jnp.linalg.norm(left_over) / exact[k]) - 1))
        best.append(abs(float(jnp.linalg.norm(left_over, 2) / s[k]) - 1))
        metrics[f"digits_kept_{k}"] = 1 - float(jnp.square(exact[k] / exact[0]))
    metrics["eckart_young_largest_gap"] = max(best)

    def rival(key):
        basis, _ = jnp.linalg.qr(jax.random.normal(key, (64, cfg.rank)))
        return jnp.linalg.norm(digits - digits @ basis @ basis.T)

    errors = jax.lax.map(rival, jax.random.split(key_rivals, cfg.rivals))
    metrics["rivals_best_over_exact"] = float(jnp.min(errors) / exact[min(cfg.rank, 64)])
    return Result(metrics, {"linear_maps.png": draw(planes, np.asarray(exact / exact[0]))})


def draw(planes: dict[str, Float[Array, "2 2"]], tail: np.ndarray):
    """The unit circle and a grid through each map with the axes that it stretches, and what a rank leaves of the digits."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(18, 3.8), layout="constrained")
    *axes, last = figure.subplots(1, len(planes) + 1)
    t = np.linspace(0, 2 * np.pi, 200)
    circle = np.stack([np.cos(t), np.sin(t)])
    for ax, (name, a) in zip(axes, planes.items(), strict=True):
        a = np.asarray(a)
        for line in np.linspace(-1.5, 1.5, 7):
            for grid in (
                np.array([[line, line], [-1.5, 1.5]]),
                np.array([[-1.5, 1.5], [line, line]]),
            ):
                ax.plot(*(a @ grid), color="0.85", lw=0.8, zorder=0)
        ax.plot(*circle, "--", color="C0", lw=1, label="unit circle")
        ax.plot(*(a @ circle), color="C1", label="its image")
        u, s, _ = np.linalg.svd(a)
        for i in range(2):
            ax.annotate("", u[:, i] * s[i], (0, 0), arrowprops={"arrowstyle": "->", "color": "C3"})
        ax.set(
            title=f"{name}, s = ({s[0]:.2f}, {s[1]:.2f})",
            aspect="equal",
            xlim=(-2.2, 2.2),
            ylim=(-2.2, 2.2),
        )
    axes[0].legend(frameon=False, loc="upper left", fontsize=8)
    last.plot(tail**2, color="C0")
    last.set(
        title="digits: variance that rank k leaves", xlabel="k", yscale="log", ylim=(1e-5, 1.2)
    )
    last.grid(alpha=0.3)
    return figure
