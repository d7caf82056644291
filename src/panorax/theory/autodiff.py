"""The cost of a gradient: `panorax.maths.autodiff.chain_rule` on four networks, beside JAX.

A gradient by reverse mode takes at most about 5 times the operations of the function, for any
number of parameters. Forward mode takes one pass for each parameter. Reverse mode needs more
memory, because it keeps every value that a Jacobian needs. Programs are counted as traced
(`panorax.maths.cost`).

    *_reverse_over_loss            operations of the gradient / operations of the loss
    *_forward_over_loss            operations of one directional derivative / operations of the loss
    forward_over_reverse_largest   operations of the gradient by forward mode / by reverse mode
    memory_growth_*                peak memory of the deepest perceptron / of the shallowest

Source: Griewank & Walther, Evaluating Derivatives (2008), chapter 3.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from panorax.core import figures
from panorax.core import spec as core_spec
from panorax.core.errors import UserError
from panorax.core.ranges import Count, Whole, checked
from panorax.core.state import Result
from panorax.core.study import Part, family
from panorax.maths import cost
from panorax.maths.autodiff.chain_rule import forward, grad
from panorax.nets import mlp
from panorax.nets.convolutional import convnet
from panorax.ops.attention import attention
from panorax.ops.losses import cross_entropy
from panorax.ops.norms import layer_norm

CLASSES = 10


@checked
class Config:
    widths: tuple[Count, ...] = (4, 16, 64, 256)
    """hidden widths of the perceptron whose gradient is counted in both modes"""
    depths: tuple[Count, ...] = (1, 2, 4, 8, 16, 32)
    """numbers of hidden layers of the perceptron whose memory is counted"""
    batch: Count = 32
    """examples per loss [B]"""
    seed: Whole = 0
    """seed of the parameters"""

    def __post_init__(self):
        if not self.widths or len(self.depths) < 2:
            raise UserError("widths needs at least one width, depths at least two depths")


class Network(NamedTuple):
    """A network and its data as one function of the parameters."""

    loss: Callable
    """mean cross entropy in nats, a function of the parameters"""
    spec: dict
    """declaration of the parameters"""


def _dense(inputs: int, outputs: int):
    return mlp.dense_spec(inputs, outputs, mlp.fan_in(1.0))


def _classifier_loss(params, h_BD):
    """Mean cross entropy of a linear classifier on h; example i has class i modulo 10."""
    label = jnp.arange(len(h_BD)) % CLASSES
    return jnp.mean(cross_entropy(mlp.dense(params, h_BD), label))


def perceptron(width: int, depth: int, batch: int) -> Network:
    """`depth` hidden layers of `width` units on 64 inputs."""
    x = jnp.sin(jnp.arange(64.0 * batch)).reshape(batch, 64)
    label = jnp.arange(batch) % CLASSES
    loss = lambda params: jnp.mean(cross_entropy(mlp.perceptron(params, x), label))
    return Network(loss, mlp.spec((64, *(width,) * depth, CLASSES)))


def convolutional(batch: int) -> Network:
    """Two convolutions on 8 x 8 images."""
    images = jnp.sin(jnp.arange(batch * 64.0)).reshape(batch, 8, 8, 1)
    loss = lambda params: _classifier_loss(params["out"], convnet.apply(params["conv"], images))
    return Network(loss, {"conv": convnet.spec((1, 8, 16)), "out": _dense(16, CLASSES)})


def _sequence(batch: int):
    return jnp.sin(jnp.arange(batch * 12 * 16.0)).reshape(batch, 12, 16)


def attending(batch: int) -> Network:
    """One transformer block with causal attention of two heads, on sequences of 12 vectors."""
    x = _sequence(batch)
    _, T, D = x.shape
    causal = jnp.tril(jnp.ones((1, T, T), bool))

    def loss(params):
        scale = params["scale"]  # the kernels have no forward mode
        h = layer_norm(x, scale["w"][0], scale["b"], 1e-5, implementation="reference")
        q, k, v = jnp.moveaxis(mlp.dense(params["qkv"], h).reshape(batch, T, 3, 2, D // 2), 2, 0)
        h = x + mlp.dense(params["o"], attention(q, k, v, causal).reshape(x.shape))
        h = h + mlp.dense(params["down"], jax.nn.gelu(mlp.dense(params["up"], h)))
        return _classifier_loss(params["out"], jnp.mean(h, 1))

    spec = {
        "scale": _dense(1, D),
        "qkv": _dense(D, 3 * D),
        "o": _dense(D, D),
        "up": _dense(D, 4 * D),
        "down": _dense(4 * D, D),
        "out": _dense(D, CLASSES),
    }
    return Network(loss, spec)


def recurrent(batch: int) -> Network:
    """A tanh recurrence, scanned over sequences of 12 vectors."""
    x = _sequence(batch)
    D = x.shape[-1]

    def loss(params):
        def step(h, x):
            h = jnp.tanh(mlp.dense(params["x"], x) + mlp.dense(params["h"], h))
            return h, h

        last, every = jax.lax.scan(step, jnp.zeros((batch, D)), x.swapaxes(0, 1))
        return _classifier_loss(params["out"], last + jnp.max(every, 0))

    return Network(loss, {"x": _dense(D, D), "h": _dense(D, D), "out": _dense(D, CLASSES)})


def networks(batch: int) -> dict[str, Network]:
    """The four networks whose gradients are compared with JAX's."""
    return {
        "perceptron": perceptron(32, 3, batch),
        "convolutional": convolutional(batch),
        "attending": attending(batch),
        "recurrent": recurrent(batch),
    }


def directional(loss: Callable) -> Callable:
    """(params, direction) -> (loss, its derivative along the direction), by forward mode."""
    return lambda params, direction: forward(loss, (params,), (direction,))


class Operations(NamedTuple):
    """Operations of the derivatives of a loss, as multiples of the operations of the loss."""

    reverse: float
    """the gradient by reverse mode"""
    forward: float
    """one directional derivative by forward mode"""


def operations(network: Network) -> Operations:
    """Operations of matrix products and convolutions in each derivative, over those in the loss."""
    params = core_spec.abstract(network.spec)
    count = lambda f, *args: cost.flops(jax.make_jaxpr(f)(*args))
    once = count(network.loss, params)
    return Operations(
        reverse=count(grad(network.loss), params) / once,
        forward=count(directional(network.loss), params, params) / once,
    )


class PeakBytes(NamedTuple):
    """Peak memory beside the arguments, in bytes."""

    loss: int
    """one call of the loss"""
    forward: int
    """one directional derivative by forward mode"""
    reverse: int
    """the gradient by reverse mode"""


def peak_bytes(network: Network) -> PeakBytes:
    """Peak memory of the loss and of its derivatives."""
    params = core_spec.abstract(network.spec)
    peak = lambda f, *args: cost.peak_bytes(jax.make_jaxpr(f)(*args))
    return PeakBytes(
        loss=peak(network.loss, params),
        forward=peak(directional(network.loss), params, params),
        reverse=peak(grad(network.loss), params),
    )


class Gaps(NamedTuple):
    """Relative differences from the gradient of JAX."""

    gradient: float
    """largest difference of an entry of the gradient, over the largest entry"""
    slope: float
    """relative difference of a directional derivative from <gradient, direction>"""


def gaps(key, network: Network) -> Gaps:
    """Both modes at random parameters, beside `jax.grad`. The direction is cos(params)."""
    params = core_spec.init(network.spec, key)
    expected = jax.jit(jax.grad(network.loss))(params)
    flat = lambda tree: np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])
    difference = flat(jax.jit(grad(network.loss))(params)) - flat(expected)
    direction = jax.tree.map(jnp.cos, params)
    _, slope = jax.jit(directional(network.loss))(params, direction)
    expected_slope = float(optax.tree.vdot(expected, direction))
    return Gaps(
        gradient=float(np.abs(difference).max() / np.abs(flat(expected)).max()),
        slope=abs(float(slope) - expected_slope) / max(abs(expected_slope), 1e-3),
    )


def gradients(key, cfg: Config) -> Result:
    """Gradients of the four networks: their gaps from JAX's, and their operations."""
    nets = networks(cfg.batch)
    keys = jax.random.split(key, len(nets))
    differences = [gaps(key, net) for key, net in zip(keys, nets.values(), strict=True)]
    counts = {name: operations(net) for name, net in nets.items()}
    metrics = family("{}_reverse_over_loss", {name: n.reverse for name, n in counts.items()})
    metrics |= family("{}_forward_over_loss", {name: n.forward for name, n in counts.items()})
    metrics["largest_gradient_gap"] = max(gap.gradient for gap in differences)
    metrics["largest_slope_gap"] = max(gap.slope for gap in differences)
    metrics["largest_reverse_over_loss"] = max(n.reverse for n in counts.values())
    return Result(metrics)


def widths(key, cfg: Config) -> Result:
    """Operations of the whole gradient in both modes, over the number of parameters."""
    nets = [perceptron(width, 2, cfg.batch) for width in cfg.widths]
    rows = {core_spec.count(net.spec): operations(net) for net in nets}
    largest = max(n * row.forward / row.reverse for n, row in rows.items())
    metrics = {"forward_over_reverse_largest": largest}
    return Result(metrics, {"operations.png": draw_operations(rows)})


def depths(key, cfg: Config) -> Result:
    """Peak memory of a perceptron of width 64 in both modes, over its depth."""
    rows = {depth: peak_bytes(perceptron(64, depth, cfg.batch)) for depth in cfg.depths}
    first, last = rows[cfg.depths[0]], rows[cfg.depths[-1]]
    metrics = {
        "memory_growth_reverse": last.reverse / first.reverse,
        "memory_growth_forward": last.forward / first.forward,
    }
    return Result(metrics, {"memory.png": draw_memory(rows)})


def draw_operations(rows: dict[int, Operations]):
    """Operations of the gradient over the number of parameters."""
    figure, (ax,) = figures.panels()
    reverse_mode = [row.reverse for row in rows.values()]
    forward_mode = [n * row.forward for n, row in rows.items()]
    ax.plot(list(rows), reverse_mode, "-o", ms=4, label="reverse mode, 1 pass")
    ax.plot(list(rows), forward_mode, "-o", ms=4, label="forward mode, n passes")
    ax.set(title="operations of a gradient", xlabel="parameters n", xscale="log", yscale="log")
    ax.set_ylabel("operations / operations of the loss")
    return figures.legends(figure)


def draw_memory(rows: dict[int, PeakBytes]):
    """Peak memory over the depth."""
    figure, (ax,) = figures.panels()
    labels = ("loss", "forward mode, one direction", "reverse mode")
    for label, curve in zip(labels, zip(*rows.values(), strict=True), strict=True):
        ax.plot(list(rows), [x / 1e6 for x in curve], "-o", ms=4, label=label)
    ax.set(title="peak memory", xlabel="hidden layers", ylabel="peak memory (MB)")
    return figures.legends(figure)


def study(cfg: Config) -> dict[str, Part]:
    """Gradients of four networks, and the cost of a gradient by width and by depth."""
    return {
        "gradients": functools.partial(gradients, cfg=cfg),
        "widths": functools.partial(widths, cfg=cfg),
        "depths": functools.partial(depths, cfg=cfg),
    }
