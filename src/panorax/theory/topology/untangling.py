"""How the layers of a network change the topology of a class, on linked rings.

A layer x -> tanh(x W + b) with an invertible W is a homeomorphism onto its image. A hyperplane
after such layers cannot separate two linked rings of R^3: the rings would be unlinked. A network
must leave R^3 (width above 3) or fold it (ReLU). The Betti numbers of a class then fall from layer
to layer towards (1, 0), the Betti numbers of a ball. A layer stretches a cloud unevenly, so scales
are numbers of steps in the graph of nearest neighbours.
Source: Naitzat, Zhitnikov & Lim 2020, arXiv:2004.06093, sections 4 and 5; Olah 2014, Neural
networks, manifolds, and topology.
"""

import functools
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from panorax.core import figures, spec
from panorax.core.state import Result
from panorax.core.step import descend
from panorax.core.study import family
from panorax.maths.topology.diagrams import betti
from panorax.maths.topology.persistence import diagrams, distances
from panorax.nets import mlp
from panorax.ops.losses import binary_cross_entropy

Activation = Literal["tanh", "relu"]
FUNCTION: dict[Activation, Callable] = {"tanh": jnp.tanh, "relu": jax.nn.relu}
GAIN: dict[Activation, float] = {"tanh": 1.0, "relu": 2**0.5}
NEIGHBOURS = 10
"""neighbours of a point in the graph"""
SCALE = 3.5
"""scale, in steps, of the Betti numbers: only loops of more than 10 steps count"""


def linked_rings(pairs: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Two classes of `pairs` unit circles in R^3, n points each: two float32 (pairs n, 3) arrays.

    Circles of the first class lie in the x-y plane. A circle of the second class, in the x-z plane,
    passes through each of these circles.
    """
    angle = 2 * np.pi * np.arange(n) / n
    zero = np.zeros(n)
    flat = np.stack([np.cos(angle), np.sin(angle), zero], 1)
    upright = np.stack([np.cos(angle), zero, np.sin(angle)], 1)
    centres = [np.array([[4.0 * i - 2 * (pairs - 1) - 0.5, 0, 0]]) for i in range(pairs)]
    first = np.concatenate([flat + centre for centre in centres])
    second = np.concatenate([upright + centre + np.array([[1.0, 0, 0]]) for centre in centres])
    return first.astype(np.float32), second.astype(np.float32)


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
    """Trains a classifier with `layers` hidden layers by full-batch Adam.

    Returns the accuracy, and the first class at the input and after each layer, in a list.
    """
    key_init, key_steps = jax.random.split(key)
    function, gain = FUNCTION[activation], mlp.fan_in(GAIN[activation])
    tree = {
        "layers": mlp.spec((3, *(width,) * layers), gain),
        "head": mlp.dense_spec(width, 1, gain),
    }
    x = jnp.concatenate([first, second])
    label = jnp.concatenate([jnp.ones(len(first)), jnp.zeros(len(second))])
    logit = lambda params: mlp.dense(params["head"], mlp.apply(params["layers"], x, function))[:, 0]
    loss = lambda params, _: jnp.mean(binary_cross_entropy(logit(params), label))
    params = spec.init(tree, key_init)
    params, _ = descend(loss, optax.adam(lr), params, jax.random.split(key_steps, steps))
    clouds = [first]
    for layer in params["layers"]:
        clouds.append(function(mlp.dense(layer, clouds[-1])))
    return jnp.mean((logit(params) > 0) == (label > 0)), clouds


@functools.partial(jax.jit, static_argnames=("width", "layers", "activation", "steps"))
def train_each(
    keys, first, second, width: int, layers: int, activation: Activation, steps: int, lr: float
):
    """`train` for each key: accuracies (S,), and clouds (S, N, ..)."""
    of_key = lambda key: train(key, first, second, width, layers, activation, steps, lr)
    return jax.vmap(of_key)(keys)


def steps_between(distance_NN: np.ndarray, neighbours: int) -> np.ndarray:
    """Steps between points (N, N) in the graph of nearest neighbours, infinite between components.

    An edge joins each point to its nearest `neighbours`, and to all points as near as the last of
    them. Raises ValueError for neighbours outside 1 to N - 1.
    """
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import shortest_path

    n = len(distance_NN)
    if not 1 <= neighbours < n:
        raise ValueError(f"each of {n} points has 1 to {n - 1} neighbours, got {neighbours}")
    joined = distance_NN <= np.sort(distance_NN, axis=1)[:, neighbours, None]
    return shortest_path(csr_matrix(joined), directed=False, unweighted=True)


def betti_numbers(x_ND: np.ndarray) -> tuple[int, int]:
    """Components, and loops of more than ten steps, in the graph of nearest neighbours."""
    components, loops = diagrams(steps_between(distances(x_ND), NEIGHBOURS), 1, 2 * SCALE)
    return betti(components, SCALE), betti(loops, SCALE)


class Untangling(NamedTuple):
    """Networks with one activation, trained from S seeds."""

    accuracy_S: np.ndarray
    """share of the points that each network classifies correctly"""
    betti_SL2: np.ndarray
    """Betti numbers 0 and 1 of the first class in each layer, the input first"""

    @property
    def mean_L2(self) -> np.ndarray:
        """Betti numbers in each layer, averaged over the seeds."""
        return self.betti_SL2.mean(0)


def network(
    key, pairs: int, ring: int, width: int, layers: int, steps: int, lr: float, seeds: int
) -> Result:
    """Betti numbers by layer of wide networks, and the accuracy of networks of width 3.

    Networks of width 3 with tanh cannot leave R^3.
    """
    key_seeds, key_narrow = jax.random.split(key)
    rings = linked_rings(pairs, ring)
    measured = {}
    for activation in FUNCTION:
        keys = jax.random.split(key_seeds, seeds)
        accuracy, clouds = train_each(keys, *rings, width, layers, activation, steps, lr)
        numbers = [[betti_numbers(layer[i]) for layer in clouds] for i in range(seeds)]
        measured[activation] = Untangling(np.asarray(accuracy), np.array(numbers))
    keys = jax.random.split(key_narrow, seeds)
    narrow, _ = train_each(keys, *rings, 3, layers, "tanh", steps, lr)
    metrics = {
        **family("{}_right", {name: u.accuracy_S.mean() for name, u in measured.items()}),
        **family("{}_betti_data", {name: u.mean_L2[0].sum() for name, u in measured.items()}),
        **family("{}_betti_last", {name: u.mean_L2[-1].sum() for name, u in measured.items()}),
        **family("{}_betti_1_last", {name: u.mean_L2[-1, 1] for name, u in measured.items()}),
        "narrow_most_right": float(narrow.max()),
    }
    return Result(metrics, {"network.png": draw_layers(measured)})


def draw_layers(measured: dict[str, Untangling]):
    """Betti numbers of a class over the layers: mean and range over the seeds."""
    figure, axes = figures.panels(2)
    for k, ax in enumerate(axes):
        for (activation, each), color in zip(measured.items(), figures.COLORS):
            numbers = each.betti_SL2[:, :, k]
            layer = np.arange(numbers.shape[1])
            ax.fill_between(layer, numbers.min(0), numbers.max(0), color=color, alpha=0.15, lw=0)
            ax.plot(layer, numbers.mean(0), "o-", color=color, label=activation)
        ax.set(title=("components", "loops")[k] + " of a class of linked rings")
        ax.set(xlabel="layer (0: input)", ylabel=f"Betti number {k}: mean, range")
        ax.set_ylim(0)
    return figures.legends(figure)
