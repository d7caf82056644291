"""Critical points of isotropic Gaussian random fields: Newton's method and the Kac-Rice formula.

The field f(x) = M^-1/2 sum_m a_m cos(w_m . x) + b_m sin(w_m . x), with a, b, w standard normal, has
the covariance exp(-|x - y|^2 / 2) for a large number of features M. At every point grad f ~ N(0, I)
is independent of f and of the Hessian H = G - f I. Here f ~ N(0, 1), and G is an independent
symmetric Gaussian matrix (GOE) with variance 2 on the diagonal and 1 off it.

Kac and Rice: the mean number of critical points per unit of volume is (2 pi)^-d/2 E|det H|, and the
share with k negative eigenvalues (index k) is E[|det H|; k negative] / E|det H|. In the joint
density of f and the eigenvalues t_i of G, the Vandermonde product of the t_i times |det H| =
prod |t_i - f| is the Vandermonde product of d + 1 eigenvalues, f among them. For the eigenvalues
t_0 < .. < t_d of a GOE matrix of size d + 1,

    share of index k = E exp(-t_k^2 / 4) / sum_j E exp(-t_j^2 / 4),     t_k the value of f.

The share of minima is 1/2 for d = 1, 1/4 for d = 2 (Longuet-Higgins 1957), (29 - 6 sqrt 6) / 116
for d = 3 (Bardeen et al. 1986), and falls by a factor e per dimension for large d: a low f raises
all eigenvalues together. Independent signs would give 2^-d. The eigenvalues of a GOE matrix repel
each other and have no common shift; all are positive with a much smaller probability of order
exp(-(ln 3 / 4) d^2) (Dean & Majumdar 2006, cond-mat/0609651).
Source: Bray & Dean 2007 (cond-mat/0611023); Fyodorov 2004; Auffinger, Ben Arous & Cerny 2013
(arXiv:1003.1129), lemma 3.1.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from panorax.core import struct

GOE_RATE = math.log(3) / 4
"""limit of -log P / d^2 for large d, P the probability that a GOE matrix is positive definite"""
MINIMA = {1: 1 / 2, 2: 1 / 4, 3: (29 - 6 * 6**0.5) / 116}
"""share of minima among critical points by dimension, in closed form"""
ALL_POSITIVE = {1: 1 / 2, 2: (2 - 2**0.5) / 4, 3: 1 / 4 - 1 / (2**0.5 * math.pi)}
"""probability that a GOE matrix is positive definite, by its size"""


@struct.dataclass
class Field:
    """A random field with M features over R^d."""

    frequency: Float[Array, "M d"]
    """w_m as rows"""
    cosine: Float[Array, " M"]
    """a_m"""
    sine: Float[Array, " M"]
    """b_m"""

    def __call__(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        """f(x) at one point."""
        phase = self.frequency @ x
        return (self.cosine @ jnp.cos(phase) + self.sine @ jnp.sin(phase)) / len(phase) ** 0.5


@struct.dataclass
class Points:
    """End points of Newton's method, one row for each of S starts."""

    x: Float[Array, "S d"]
    """end point"""
    value: Float[Array, " S"]
    """f(x)"""
    index: Int[Array, " S"]
    """number of negative eigenvalues of the Hessian"""
    valid: Bool[Array, " S"]
    """True if x is a critical point inside the box"""
    first: Bool[Array, " S"]
    """True if x is valid and no earlier row is the same critical point"""


class _Search(NamedTuple):
    """End of one run of Newton's method; fields as in `Points`."""

    x: Float[Array, " d"]
    value: Float[Array, ""]
    index: Int[Array, ""]
    valid: Bool[Array, ""]


def field(key, d: int, features: int) -> Field:
    """Draws a random field over R^d. Raises ValueError if `d` or `features` is below 1."""
    if d < 1 or features < 1:
        raise ValueError(f"d and features must be at least 1, got {d} and {features}")
    normal = jax.random.normal(key, (features, d + 2))
    return Field(normal[:, :d], normal[:, d], normal[:, d + 1])


def goe(key, n: int, d: int) -> Float[Array, "n d d"]:
    """Draws n symmetric Gaussian matrices with variance 2 on the diagonal and 1 off it.

    Raises ValueError if `n` or `d` is below 1.
    """
    if n < 1 or d < 1:
        raise ValueError(f"n and d must be at least 1, got {n} and {d}")
    a = jax.random.normal(key, (n, d, d))
    return (a + a.swapaxes(1, 2)) / 2**0.5


def pivots(a: Float[Array, "*n d d"]) -> Float[Array, "*n d"]:
    """Pivots of Gaussian elimination of symmetric matrices, cheaper than eigenvalues.

    The pivots have as many negative signs as the eigenvalues (Sylvester 1852). The same holds for
    the first k pivots and the leading k x k block. The product of the pivots is the determinant.
    Rows are not exchanged, so every leading block must be regular. Raises ValueError unless the
    matrices are square.
    """
    if a.ndim < 2 or a.shape[-1] != a.shape[-2] or a.shape[-1] == 0:
        raise ValueError(f"matrices must be square, got shape {a.shape}")
    diagonal = []
    while a.shape[-1]:
        pivot, row = a[..., :1, :1], a[..., :1, 1:]
        diagonal.append(pivot[..., 0, 0])
        a = a[..., 1:, 1:] - row.swapaxes(-1, -2) * row / pivot
    return jnp.stack(diagonal, -1)


@functools.partial(jax.jit, static_argnames=("d", "n", "batches"))
def positive_shares(key, d: int, n: int, batches: int = 1) -> Float[Array, " d"]:
    """Share of positive definite matrices among n * batches GOE matrices of each size 1 to d.

    The smaller matrices are the leading blocks of matrices of size d.
    """
    positive = lambda key: jnp.mean(
        jnp.cumprod(pivots(goe(key, n, d)) > 0, -1, dtype=jnp.float32), 0
    )
    return jnp.mean(jax.lax.map(positive, jax.random.split(key, batches)), 0)


def kac_rice(
    matrices: Float[Array, "n d+1 d+1"],
) -> tuple[Float[Array, "n d+1"], Float[Array, "n d+1"]]:
    """Weights and values by sample and index in d dimensions, from GOE matrices of size d + 1.

    The share of index k is the mean weight of column k over the sum of all mean weights. The values
    f at these points follow the values of column k under these weights.
    """
    values = jnp.linalg.eigvalsh(matrices)
    return jnp.exp(-jnp.square(values) / 4), values


def points_per_volume(matrices: Float[Array, "n d+1 d+1"]) -> Float[Array, " n"]:
    """|det(G - f I)| / (2 pi)^(d/2), whose mean is the number of critical points per unit volume.

    G is the leading block of each GOE matrix of size d + 1, f its last entry over sqrt 2.
    """
    d = matrices.shape[-1] - 1
    h = matrices[:, :d, :d] - matrices[:, -1:, -1:] / 2**0.5 * jnp.eye(d)[None]
    return jnp.abs(jnp.prod(pivots(h), -1)) / (2 * jnp.pi) ** (d / 2)


def critical_points(
    f,
    key,
    d: int,
    side: float,
    starts: int,
    steps: int = 40,
    longest: float = 0.4,
    tolerance: float = 1e-4,
) -> Points:
    """Finds critical points of f in the box [0, side]^d by Newton's method for grad f = 0.

    The steps have length at most `longest`. The starts are uniform in the box enlarged by 0.5 on
    each side. A point is valid if every |entry of grad f| is below `tolerance`; two points within
    0.02 are the same.

    The number of starts that end in a point measures its basin. Count the `first` hits only, with
    so many starts that none is missed (compare `points_per_volume`).
    Raises ValueError unless `d`, `starts` and `side` are positive.
    """
    if d < 1 or starts < 1 or not side > 0:
        raise ValueError(f"d, starts and side must be above 0, got {d}, {starts}, {side}")
    gradient, hessian = jax.grad(f), jax.hessian(f)

    def newton(x, _):
        step = jnp.linalg.solve(hessian(x), -gradient(x))
        step = jnp.where(jnp.isfinite(step), step, 0)
        return x + step * jnp.minimum(1, longest / jnp.maximum(jnp.linalg.norm(step), 1e-12)), None

    def search(x):
        x, _ = jax.lax.scan(newton, x, length=steps)
        valid = (jnp.max(jnp.abs(gradient(x))) < tolerance) & jnp.all((x >= 0) & (x <= side))
        return _Search(x, f(x), jnp.sum(jnp.linalg.eigvalsh(hessian(x)) < 0), valid)

    ends = jax.vmap(search)(jax.random.uniform(key, (starts, d), minval=-0.5, maxval=side + 0.5))
    near = jnp.sum(jnp.square(ends.x[:, None] - ends.x[None]), -1) < 0.02**2
    earlier = near & ends.valid[None] & (jnp.arange(starts)[None] < jnp.arange(starts)[:, None])
    return Points(*ends, first=ends.valid & ~jnp.any(earlier, 1))
