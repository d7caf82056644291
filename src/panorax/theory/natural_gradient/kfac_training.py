"""Nets with taps and their training by any optax transformation, K-FAC included.

The nets are a deep autoencoder and a convolutional classifier of digits. The autoencoder is the
one of Hinton & Salakhutdinov 2006, as in Martens & Grosse 2015, section 13, at the size of these
digits: tanh units around a linear code, pixels as probabilities. Its loss is
KL(pixels | reconstruction): binary cross entropy less the entropy of the pixels.
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
    """A net with taps and the data it is trained on."""

    net: Callable
    """net(params, taps, x) -> (outputs, inputs of the layers)"""
    family: Family
    """distribution of the targets given the outputs"""
    spec: Any
    """declaration of the parameters"""
    x: Array
    """inputs of all N points"""
    t_NK: Float[Array, "N K"]
    """targets of all points"""
    least: float = 0.0
    """smallest possible mean loss, in nats"""

    def outputs(self, params, x):
        """The outputs of the net, with taps of 0."""
        return self.net(params, (0.0,) * len(params), x)[0]

    def loss(self, params, x, t_NK):
        """Mean loss over the points above the smallest possible one, in nats."""
        return jnp.mean(self.family.loss(self.outputs(params, x), t_NK)) - self.least


def autoencoder(sizes: tuple[int, ...]) -> Problem:
    """The autoencoder of the digits with layers of these sizes, from 64 to a code and back to 64.

    Raises ValueError if `sizes` has no middle or does not begin and end with 64.
    """
    if len(sizes) < 3 or len(sizes) % 2 == 0 or sizes[0] != sizes[-1] or sizes[0] != 64:
        raise ValueError(
            f"an autoencoder needs sizes from 64 pixels to a code and back to 64, got {sizes}"
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
    entropy = float(jnp.mean(jnp.sum(entr(x) + entr(1 - x), 1)))
    return Problem(net, BERNOULLI, mlp.spec(sizes, mlp.fan_in(1.0)), x, x, entropy)


def classifier(channels: tuple[int, ...]) -> Problem:
    """The classifier of the digits: 3 x 3 convolutions with tanh and an affine layer.

    The first convolution has stride 1, the others have stride 2.
    """

    def net(params, taps, x):
        inputs = []
        for i, (layer, tap) in enumerate(zip(params[:-1], taps[:-1], strict=True)):
            inputs.append(patches(x, 3, stride=1 + (i > 0)))
            # a product with the patches: conv2d has no forward mode on a CPU
            s = inputs[-1] @ layer["w"].reshape(-1, layer["w"].shape[-1])
            x = jnp.tanh(s + layer["b"][None, None, None] + tap)
        inputs.append(x.reshape(len(x), -1))
        return mlp.dense(params[-1], inputs[-1]) + taps[-1], tuple(inputs)

    x, label, *_ = datasets.digits()
    side = -(-8 // 2 ** (len(channels) - 1))
    head = mlp.dense_spec(side**2 * channels[-1], 10, mlp.fan_in(1.0))
    spec = (*convnet.spec((1, *channels)), head)
    return Problem(net, CATEGORICAL, spec, jnp.asarray(x), jax.nn.one_hot(jnp.asarray(label), 10))


def start(problem: Problem, key, steps: int, batch: int):
    """First parameters, rows of each step's batch (steps, batch), and a key for each step.

    Rows are drawn with replacement. K-FAC samples labels with the key of a step.
    """
    key_init, key_batch, key_labels = jax.random.split(key, 3)
    rows = jax.random.randint(key_batch, (steps, batch), 0, len(problem.x))
    return core_spec.init(problem.spec, key_init), rows, jax.random.split(key_labels, steps)


def train(
    problem: Problem, tx: optax.GradientTransformation, params, rows_SB, keys_S
) -> Float[Array, " S"]:
    """The loss of each step's batch before the step, in nats.

    A K-FAC transformation gets its statistics from the same batch.
    """
    tx = fed(tx, problem.net, problem.family, lambda rows: problem.x[rows])

    def loss_fn(params, extra, rows, key):
        return problem.loss(params, problem.x[rows], problem.t_NK[rows]), (extra, {})

    def step(carry, rows_and_key):
        params, opt, _, metrics = update(loss_fn, tx, *carry, (), *rows_and_key)
        return (params, opt), metrics["loss"]

    return jax.lax.scan(step, (params, tx.init(params)), (rows_SB, keys_S))[1]


def steps_to(losses: np.ndarray, target: float, window: int) -> int:
    """The first step at which the mean of the last `window` losses is below the target.

    Returns len(losses) + 1 if there is no such step.
    """
    below = np.flatnonzero(smoothed(losses, window) < target)
    return int(below[0]) + window if len(below) else len(losses) + 1


def smoothed(losses: np.ndarray, window: int) -> np.ndarray:
    """Moving average of the losses. Raises ValueError for fewer losses than `window`."""
    if len(losses) < window:
        raise ValueError(f"a mean over {window} steps needs as many, got {len(losses)}")
    return np.convolve(np.asarray(losses, np.float64), np.ones(window) / window, "valid")
