"""Standard objectives for minimisers. Source: Moré, Garbow & Hillstrom 1981."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def rosenbrock(x: Float[Array, " n"]) -> Float[Array, ""]:
    """sum_i 100 (x_{i+1} - x_i^2)^2 + (1 - x_i)^2, a curved valley with minimum 0 at (1, .., 1).

    From 4 dimensions on there is a second minimum near (-1, 1, .., 1).
    """
    return jnp.sum(100 * jnp.square(x[1:] - jnp.square(x[:-1])) + jnp.square(1 - x[:-1]))


def beale(x: Float[Array, "2"]) -> Float[Array, ""]:
    """sum_k (c_k - x + x y^k)^2 with c = (1.5, 2.25, 2.625), flat far from its minimum.

    The minimum is 0 at (3, 1/2).
    """
    a, b = x
    return (1.5 - a + a * b) ** 2 + (2.25 - a + a * b**2) ** 2 + (2.625 - a + a * b**3) ** 2
