"""Gated recurrent unit in the convention of torch and cuDNN, scanned over time with resets.

    r = sigmoid(x W_r + b_r + h U_r + c_r)
    z = sigmoid(x W_z + b_z + h U_z + c_z)
    n = tanh(x W_n + b_n + r * (h U_n + c_n))
    h' = (1 - z) * n + z * h

The reset gate r acts after the matrix product h U_n. `w` (I, 3D) and `u` (D, 3D) stack the gates in
the order r, z, n, as torch's `weight_ih.T` and `weight_hh.T` do.
Source: Cho et al. 2014, arXiv:1406.1078.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from panorax.core.spec import P
from panorax.ops.dot import dot


def gru_spec(inputs: int, width: int) -> dict[str, P]:
    """Parameters of a GRU, all uniform in +-1 / sqrt(width) as in torch."""

    def uniform(key, shape, dtype):
        return jax.random.uniform(key, shape, dtype, -(width**-0.5), width**-0.5)

    return {
        "w": P((inputs, 3 * width), ("inputs", "outputs"), uniform),
        "u": P((width, 3 * width), ("inputs", "outputs"), uniform),
        "b": P((3 * width,), ("outputs",), uniform),
        "c": P((3 * width,), ("outputs",), uniform),
    }


def gru_cell(
    params, h_BD: Float[Array, "B D"], projected_BF: Float[Array, "B F"]
) -> Float[Array, "B D"]:
    """One step from the hidden state h and the projected input x W + b, with F = 3D."""
    xr, xz, xn = jnp.split(projected_BF, 3, -1)
    hr, hz, hn = jnp.split(dot(h_BD, params["u"]) + params["c"][None], 3, -1)
    r, z = jax.nn.sigmoid(xr + hr), jax.nn.sigmoid(xz + hz)
    return (1 - z) * jnp.tanh(xn + r * hn) + z * h_BD


def gru(
    params, h_BD: Float[Array, "B D"], x_BTI: Float[Array, "B T I"], reset_BT: Bool[Array, "B T"]
) -> tuple[Float[Array, "B D"], Float[Array, "B T D"]]:
    """Returns the last hidden state and the hidden states after each step.

    reset_BT: True sets the hidden state to zero before the step.
    """
    projected_BTF = dot(x_BTI, params["w"]) + params["b"][None, None]

    def step(h_BD, inputs):
        projected_BF, reset_B = inputs
        h_BD = gru_cell(params, jnp.where(reset_B[:, None], 0, h_BD), projected_BF)
        return h_BD, h_BD

    steps = (jnp.swapaxes(projected_BTF, 0, 1), jnp.swapaxes(reset_BT, 0, 1))
    h_BD, h_TBD = jax.lax.scan(step, h_BD, steps)
    return h_BD, jnp.swapaxes(h_TBD, 0, 1)
