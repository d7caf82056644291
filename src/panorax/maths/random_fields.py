"""Critical points of isotropic Gaussian random fields: found one by one, and counted by the formula of Kac and Rice.

f(x) = M^-1/2 sum_m a_m cos(w_m . x) + b_m sin(w_m . x) with a, b, w standard normal has, for many features M, the covariance exp(-|x - y|^2 / 2).
Then at every point grad f ~ N(0, I) is independent of f and of the Hessian, which is H = G - f I: f ~ N(0, 1), G a symmetric Gaussian matrix (GOE)
with variance 2 on the diagonal and 1 beside it, independent of f. Kac and Rice: there are (2 pi)^-d/2 E|det H| critical points in a unit of volume,
and the share with k negative eigenvalues is E[|det H|; k negative] / E|det H|. In the joint density of f and the eigenvalues of G, |det H| = prod
|t_i - f| completes the product of differences to that of d + 1 eigenvalues, f being one of them:

    share of index k = E exp(-t_k^2 / 4) / sum_j E exp(-t_j^2 / 4),   t_0 < .. < t_d the eigenvalues of a GOE matrix of size d + 1, t_k the f there.

So the share of minima is 1/2, 1/4 (Longuet-Higgins 1957), (29 - 6 sqrt 6) / 116 (Bardeen et al. 1986), and for large d falls by e with each
dimension: f may be low, and then all eigenvalues rise together. Signs drawn independently would halve it each time, 2^-d; the eigenvalues of GOE
alone, which repel each other and have no common shift, are all positive with the much smaller probability of order exp(-(ln 3 / 4) d^2) (Dean &
Majumdar 2006, cond-mat/0609651). Source: Bray & Dean 2007 (cond-mat/0611023); Fyodorov 2004; Auffinger, Ben Arous & Cerny 2013 (arXiv:1003.1129),
lemma 3.1.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from panorax.core import struct

GOE_RATE = math.log(3) / 4
"""of -log P over d^2, P the probability that all eigenvalues of a GOE matrix are positive, for large d"""
MINIMA = {1: 1 / 2, 2: 1 / 4, 3: (29 - 6 * 6**0.5) / 116}
"""share of minima among the critical points of an isotropic Gaussian field, where it is known in closed form"""
ALL_POSITIVE = {1: 1 / 2, 2: (2 - 2**0.5) / 4, 3: 1 / 4 - 1 / (2**0.5 * math.pi)}
"""probability that all eigenvalues of a GOE matrix are positive"""


@struct.dataclass
class Field:
    """The field at the top of this file."""

    frequency: Float[Array, "M d"]
    cosine: Float[Array, " M"]
    sine: Float[Array, " M"]

    def __call__(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        phase = self.frequency @ x
        return (self.cosine @ jnp.cos(phase) + self.sine @ jnp.sin(phase)) / len(phase) ** 0.5


@struct.dataclass
class Points:
    """What Newton's method ended in, one row a start: the point, its value, how many eigenvalues of its Hessian are negative, whether it is a
    critical point inside the box, and whether no earlier row is the same one."""

    x: Float[Array, "S d"]
    value: Float[Array, " S"]
    index: Int[Array, " S"]
    valid: Bool[Array, " S"]
    first: Bool[Array, " S"]


def field(key, d: int, features: int) -> Field:
    """A random field over R^d. Raises ValueError where either is below 1."""
    if d < 1 or features < 1:
        raise ValueError(
            f"a field needs a dimension and a feature at least, got {d} and {features}"
        )
    drawn = jax.random.normal(key, (features, d + 2))
    return Field(drawn[:, :d], drawn[:, d], drawn[:, d + 1])


def goe(key, n: int, d: int) -> Float[Array, "n d d"]:
    """n symmetric Gaussian matrices with variance 2 on the diagonal and 1 beside it. Raises ValueError where n or d is below 1."""
    if n < 1 or d < 1:
        raise ValueError(f"a matrix at least, and a row at least, not {n} and {d}")
    a = jax.random.normal(key, (n, d, d))
    return (a + a.swapaxes(1, 2)) / 2**0.5


def pivots(a: Float[Array, "*n d d"]) -> Float[Array, "*n d"]:
    """Those of the elimination of each symmetric matrix: as many are negative as eigenvalues (Sylvester 1852), the first k as many as of the leading
    k x k block, and their product is the determinant; cheaper than eigenvalues. Rows are not exchanged, so no leading block may be singular. Raises
    ValueError for matrices that are not square."""
    if a.ndim < 2 or a.shape[-1] != a.shape[-2] or a.shape[-1] == 0:
        raise ValueError(f"matrices must be square, got {a.shape}")
    found = []
    while a.shape[-1]:
        pivot, row = a[..., :1, :1], a[..., :1, 1:]
        found.append(pivot[..., 0, 0])
        a = a[..., 1:, 1:] - row.swapaxes(-1, -2) * row / pivot
    return jnp.stack(found, -1)


@functools.partial(jax.jit, static_argnames=("d", "n", "batches"))
def positive_shares(key, d: int, n: int, batches: int = 1) -> Float[Array, " d"]:
    """The share of GOE matrices of each size 1 to d whose eigenvalues are all positive, of n * batches: the leading blocks of those of size d."""
    positive = lambda key: jnp.mean(
        jnp.cumprod(pivots(goe(key, n, d)) > 0, -1, dtype=jnp.float32), 0
    )
    return jnp.mean(jax.lax.map(positive, jax.random.split(key, batches)), 0)


def kac_rice(
    matrices: Float[Array, "n d+1 d+1"],
) -> tuple[Float[Array, "n d+1"], Float[Array, "n d+1"]]:
    """(weights, values) by sample and index in d dimensions, from GOE matrices of size d + 1: the share of index k is the mean weight of column k
    over the sum of the means, and the f of those points is distributed as the values of column k with these weights."""
    values = jnp.linalg.eigvalsh(matrices)
    return jnp.exp(-jnp.square(values) / 4), values


def points_per_volume(matrices: Float[Array, "n d+1 d+1"]) -> Float[Array, " n"]:
    """|det(G - f I)| / (2 pi)^(d/2), whose mean is the number of critical points in a unit of volume: G the leading block of each GOE matrix of size
    d + 1, f its last entry over sqrt 2."""
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
    """Critical points of f in the box [0, side]^d: Newton's method for grad f = 0, steps no longer than `longest`, from random starts in the box and
    0.5 around it.

    How often a point is hit says how wide its basin is, not how many there are of its kind: only `first` hits count, and `starts` must be so many
    that none is missed, which `points_per_volume` tells. Two within 0.02 are one. Raises ValueError for a dimension, starts or a side that are not
    above 0.
    """
    if d < 1 or starts < 1 or not side > 0:
        raise ValueError(f"dimension, starts and side must be above 0, got {d}, {starts}, {side}")
    gradient, hessian = jax.grad(f), jax.hessian(f)

    def newton(x, _):
        step = jnp.linalg.solve(hessian(x), -gradient(x))
        step = jnp.where(jnp.isfinite(step), step, 0)
        return x + step * jnp.minimum(1, longest / jnp.maximum(jnp.linalg.norm(step), 1e-12)), None

    def search(x):
        x, _ = jax.lax.scan(newton, x, length=steps)
        valid = (jnp.max(jnp.abs(gradient(x))) < tolerance) & jnp.all((x >= 0) & (x <= side))
        return x, f(x), jnp.sum(jnp.linalg.eigvalsh(hessian(x)) < 0), valid

    x, value, index, valid = jax.vmap(search)(
        jax.random.uniform(key, (starts, d), minval=-0.5, maxval=side + 0.5)
    )
    near = jnp.sum(jnp.square(x[:, None] - x[None]), -1) < 0.02**2
    earlier = near & valid[None] & (jnp.arange(starts)[None] < jnp.arange(starts)[:, None])
    return Points(x, value, index, valid, valid & ~jnp.any(earlier, 1))
