"""What a network does to the topology of a class: linked rings, layer by layer.

A layer x -> tanh(x W + b) with an invertible W is a homeomorphism onto its image, and such layers followed by a hyperplane cannot separate two
linked rings of R^3: the rings would be unlinked. A network must leave R^3 (width above 3) or fold it (ReLU), and the Betti numbers of a class then
fall from layer to layer, to those of a blob. As a layer stretches a cloud unevenly, scales are not lengths but steps in the graph of nearest
neighbours. Source: Naitzat, Zhitnikov & Lim 2020, arXiv:2004.06093, sections 4 and 5; Olah 2014, Neural networks, manifolds, and topology.
"""

import functools
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from panorax.core import spec
from panorax.core.step import descend
from panorax.maths.topology.diagrams import betti
from panorax.maths.topology.persistence import diagrams, distances
from panorax.nets import mlp
from panorax.ops.losses import binary_cross_entropy

Activation = Literal["tanh", "relu"]
FUNCTION: dict[Activation, Callable] = {"tanh": jnp.tanh, "relu": jax.nn.relu}
GAIN: dict[Activation, float] = {"tanh": 1.0, "relu": 2**0.5}
NEIGHBOURS, STEPS_APART = 10, 3.5
"""of the graph, and the scale of the complex on it: loops of more than 10 steps are seen, 2 sqrt(3) bars below are not"""


def linked_rings(pairs: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """n points on each of `pairs` unit circles in the plane of x and y, and of as many in that of x and z, each of which goes through one of the
    first; all (pairs n, 3), float32."""
    angle = 2 * np.pi * np.arange(n) / n
    flat, upright = (
        np.stack([np.cos(angle), *rest], 1)
        for rest in ((np.sin(angle), 0 * angle), (0 * angle, np.sin(angle)))
    )
    at = [np.array([4.0 * i - 2 * (pairs - 1) - 0.5, 0, 0]) for i in range(pairs)]
    along = np.array([1.0, 0, 0])
    rings = (
        [flat + centre[None] for centre in at],
        [upright + (centre + along)[None] for centre in at],
    )
    return tuple(np.concatenate(of_class).astype(np.float32) for of_class in rings)


def train(
    key,
    first: Float[Array, "N 3"],
    second: Float[Array, "M 3"],
    width: int,
    layers: int,
    activation: Activation,
    steps: int,
    lr: float,
):
    """A network with `layers` hidden layers that tells the classes apart, trained by Adam on all points at every step.

    Returns the share of points that it tells right, and the first class in every layer, the input included."""
    key_init, key_steps = jax.random.split(key)
    function, gain = FUNCTION[activation], mlp.fan_in(GAIN[activation])
    tree = {
        "layers": mlp.spec((3, *(width,) * layers), gain),
        "head": mlp.dense_spec(width, 1, gain),
    }
    x, label = (
        jnp.concatenate([first, second]),
        jnp.concatenate([jnp.ones(len(first)), jnp.zeros(len(second))]),
    )
    logit = lambda params: mlp.dense(params["head"], mlp.apply(params["layers"], x, function))[:, 0]
    loss = lambda params, _: jnp.mean(binary_cross_entropy(logit(params), label))
    params, _ = descend(
        loss, optax.adam(lr), spec.init(tree, key_init), jax.random.split(key_steps, steps)
    )
    seen = [first]
    for layer in params["layers"]:
        seen.append(function(mlp.dense(layer, seen[-1])))
    return jnp.mean((logit(params) > 0) == (label > 0)), seen


@functools.partial(jax.jit, static_argnames=("width", "layers", "activation", "steps"))
def train_each(
    keys, first, second, width: int, layers: int, activation: Activation, steps: int, lr: float
):
    """`train` from every key, side by side."""
    return jax.vmap(lambda key: train(key, first, second, width, layers, activation, steps, lr))(
        keys
    )


def steps_between(distance_NN: np.ndarray, neighbours: int) -> np.ndarray:
    """Steps between points in the graph that joins each to all that are no farther than its neighbour of that number; infinite between its
    components. Raises ValueError for neighbours outside 1 to N - 1."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import shortest_path

    if not 1 <= neighbours < len(distance_NN):
        raise ValueError(
            f"each of {len(distance_NN)} points has 1 to {len(distance_NN) - 1} neighbours, not {neighbours}"
        )
    joined = distance_NN <= np.sort(distance_NN, axis=1)[:, neighbours, None]
    return shortest_path(csr_matrix(joined), directed=False, unweighted=True)


def betti_numbers(x_ND: np.ndarray) -> tuple[int, int]:
    """Betti numbers 0 and 1 of a cloud, on the graph of its nearest neighbours: components, and loops of more than ten steps."""
    found = diagrams(steps_between(distances(x_ND), NEIGHBOURS), 1, 2 * STEPS_APART)
    return betti(found[0], STEPS_APART), betti(found[1], STEPS_APART)
