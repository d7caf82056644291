"""Nets with taps, and their training by any optax transformation, K-FAC or not: a deep autoencoder of digits, and a convolutional classifier.

The autoencoder is that of Hinton & Salakhutdinov 2006, as in Martens & Grosse 2015, section 13, at the size of these digits: tanh units around a linear code,
pixels as shares of bits. Its loss is KL(pixels | reconstruction), binary cross entropy less what no reconstruction gets below.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.scipy.special import entr
from jaxtyping import Array, Float

from panorax.core import spec as core_spec
from panorax.core.step import update
from panorax.data import datasets
from panorax.maths.optimisation.fisher import BERNOULLI, CATEGORICAL, Family
from panorax.maths.optimisation.kfac import fed, patches
from panorax.nets import mlp
from panorax.nets.convolutional import convnet


class Problem(NamedTuple):
    """What is trained: a net with taps, its family, the spec of its parameters, inputs and targets of all points, the least loss there could be."""

    net: Callable
    family: Family
    spec: Any
    x: Array
    t_NK: Float[Array, "N K"]
    least: float = 0.0

    def outputs(self, params, x):
        """The net without taps."""
        return self.net(params, (0.0,) * len(params), x)[0]

    def loss(self, params, x, t_NK):
        """Mean over the points, above the least."""
        return jnp.mean(self.family.loss(self.outputs(params, x), t_NK)) - self.least


def autoencoder(sizes: tuple[int, ...]) -> Problem:
    """Of the digits, through layers of these sizes on the way down to the code and back up. Raises ValueError where no code is in the middle of them."""
    if len(sizes) < 3 or len(sizes) % 2 == 0 or sizes[0] != sizes[-1] or sizes[0] != 64:
        raise ValueError(
            f"an autoencoder of 64 pixels needs sizes from 64 down to a code and back to 64, got {sizes}"
        )
    linear = (len(sizes) // 2 - 1, len(sizes) - 2)

    def net(params, taps, x):
        inputs = []
        for i, (layer, tap) in enumerate(zip(params, taps, strict=True)):
            inputs.append(x)
            s = mlp.dense(layer, x) + tap
            x = s if i in linear else jnp.tanh(s)
        return x, tuple(inputs)

    x = jnp.asarray((datasets.digit_vectors()[0] + 1) / 2)
    return Problem(
        net,
        BERNOULLI,
        mlp.spec(sizes, mlp.fan_in(1.0)),
        x,
        x,
        float(jnp.mean(jnp.sum(entr(x) + entr(1 - x), 1))),
    )


def classifier(channels: tuple[int, ...]) -> Problem:
    """Of the digits: convolutions with 3 x 3 kernels and tanh, from the second on at every other position, and an affine map of all that they give."""

    def net(params, taps, x):
        inputs = []
        for i, (layer, tap) in enumerate(zip(params[:-1], taps[:-1], strict=True)):
            inputs.append(patches(x, 3, stride=1 + (i > 0)))
            # as a product with the patches, for conv2d has no forward mode on a CPU
            x = jnp.tanh(
                inputs[-1] @ layer["w"].reshape(-1, layer["w"].shape[-1])
                + layer["b"][None, None, None]
                + tap
            )
        inputs.append(x.reshape(len(x), -1))
        return mlp.dense(params[-1], inputs[-1]) + taps[-1], tuple(inputs)

    x, label, *_ = datasets.digits()
    side = -(-8 // 2 ** (len(channels) - 1))
    spec = (
        *convnet.spec((1, *channels)),
        mlp.dense_spec(side**2 * channels[-1], 10, mlp.fan_in(1.0)),
    )
    return Problem(net, CATEGORICAL, spec, jnp.asarray(x), jax.nn.one_hot(jnp.asarray(label), 10))


def start(problem: Problem, key, steps: int, batch: int):
    """(first parameters, the rows of the batch of every step, drawn with replacement, a key for the labels that K-FAC draws in it)."""
    key_init, key_batch, key_labels = jax.random.split(key, 3)
    rows = jax.random.randint(key_batch, (steps, batch), 0, len(problem.x))
    return core_spec.init(problem.spec, key_init), rows, jax.random.split(key_labels, steps)


def train(
    problem: Problem, tx: optax.GradientTransformation, params, rows_SB, keys_S
) -> Float[Array, " S"]:
    """The loss of the batch of each step before the step. A batch is its rows; the statistics of K-FAC come from it."""
    tx = fed(tx, problem.net, problem.family, lambda rows: problem.x[rows])

    def loss_fn(params, extra, rows, key):
        return problem.loss(params, problem.x[rows], problem.t_NK[rows]), (extra, {})

    def step(carry, drawn):
        params, opt, _, metrics = update(loss_fn, tx, *carry, (), *drawn)
        return (params, opt), metrics["loss"]

    return jax.lax.scan(step, (params, tx.init(params)), (rows_SB, keys_S))[1]


def steps_to(losses: np.ndarray, target: float, window: int = 10) -> int:
    """The first step whose loss, as the mean of the last `window`, is below the target; one more than there are where none is."""
    below = np.flatnonzero(smoothed(losses, window) < target)
    return int(below[0]) + window if len(below) else len(losses) + 1


def smoothed(losses: np.ndarray, window: int = 10) -> np.ndarray:
    """Means over `window` steps that follow each other. Raises ValueError for fewer steps than that."""
    if len(losses) < window:
        raise ValueError(f"a mean over {window} steps needs as many, got {len(losses)}")
    return np.convolve(np.asarray(losses, np.float64), np.ones(window) / window, "valid")
