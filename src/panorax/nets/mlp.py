"""Multi-layer perceptron: affine maps with a nonlinearity between."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from panorax.core.spec import Initializer, P
from panorax.ops.dot import dot


def fan_in(gain: float) -> Initializer:
    """Normal initialiser with standard deviation gain / sqrt(inputs).

    Inputs of variance 1 give outputs of variance gain^2. The common alternative, an orthogonal
    matrix, needs a batched QR, which can deadlock on a CPU when vmapped over seeds.
    """
    return jax.nn.initializers.variance_scaling(gain**2, "fan_in", "normal")


def dense_spec(inputs: int, outputs: int, init: Initializer) -> dict[str, P]:
    """Parameters of y = x w + b: w (inputs, outputs) drawn by `init`, b (outputs,) zero."""
    return {
        "w": P((inputs, outputs), ("inputs", "outputs"), init),
        "b": P((outputs,), ("outputs",), jax.nn.initializers.zeros),
    }


def dense(params, x: Float[Array, "*batch I"]) -> Float[Array, "*batch O"]:
    """y = x w + b over the last axis."""
    y = dot(x, params["w"])
    return y + params["b"].reshape((1,) * (y.ndim - 1) + params["b"].shape)


def spec(sizes: tuple[int, ...], init: Initializer = fan_in(2**0.5)) -> tuple[dict[str, P], ...]:
    """Parameters of the len(sizes) - 1 affine maps between consecutive sizes."""
    return tuple(dense_spec(i, o, init) for i, o in zip(sizes[:-1], sizes[1:], strict=True))


def apply(
    params, x: Float[Array, "*batch I"], activation: Callable = jnp.tanh
) -> Float[Array, "*batch O"]:
    """activation(... activation(x w_1 + b_1) ...), with the nonlinearity after the last map too."""
    for layer in params:
        x = activation(dense(layer, x))
    return x


def perceptron(
    params, x: Float[Array, "*batch I"], activation: Callable = jnp.tanh
) -> Float[Array, "*batch O"]:
    """As `apply`, without the nonlinearity after the last map."""
    return dense(params[-1], apply(params[:-1], x, activation))
