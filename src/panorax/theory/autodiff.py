"""What a gradient costs: `panorax.maths.autodiff.chain_rule` on four networks, beside JAX's own gradients.

A gradient by reverse mode takes no more than about 5 times the operations of the function, however many parameters there are, where forward mode takes a
pass for each of them; the price is memory, for every value that a Jacobian needs is kept (Griewank & Walther, Evaluating Derivatives, chapter 3).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from panorax.core import spec as core_spec
from panorax.core.errors import UserError
from panorax.core.ranges import Count, Whole, checked
from panorax.core.state import Result
from panorax.maths import cost
from panorax.maths.autodiff.chain_rule import forward, grad
from panorax.nets import mlp
from panorax.nets.convolutional import convnet
from panorax.ops.attention import attention
from panorax.ops.losses import cross_entropy
from panorax.ops.norms import layer_norm


@checked
class Config:
    widths: tuple[Count, ...] = (4, 16, 64, 256)
    """of the perceptron whose gradient is counted in both modes"""
    depths: tuple[Count, ...] = (1, 2, 4, 8, 16, 32)
    """of the perceptron whose memory is counted"""
    batch: Count = 32
    seed: Whole = 0

    def __post_init__(self):
        if not self.widths or len(self.depths) < 2:
            raise UserError("widths needs one width at least, depths two depths")


def perceptron(width: int, depth: int, batch: int):
    """A loss of ten classes from 64 inputs: the loss as a function of the parameters, and their spec."""
    x, label = jnp.sin(jnp.arange(64.0 * batch)).reshape(batch, 64), jnp.arange(batch) % 10
    loss = lambda params: jnp.mean(cross_entropy(mlp.perceptron(params, x), label))
    return loss, mlp.spec((64, *(width,) * depth, 10))


def networks(batch: int) -> dict:
    """The loss and the spec of a perceptron, a convolutional, an attending and a recurrent network, the last of them a scan."""
    D, T = 16, 12
    images = jnp.sin(jnp.arange(batch * 64.0)).reshape(batch, 8, 8, 1)
    x = jnp.sin(jnp.arange(float(batch * T * D))).reshape(batch, T, D)
    label = jnp.arange(batch) % 10
    causal = jnp.tril(jnp.ones((1, T, T), bool))
    classified = lambda params, h: jnp.mean(cross_entropy(mlp.dense(params, h), label))

    def attending(params):
        h = layer_norm(x, params["scale"]["w"][0], params["scale"]["b"], 1e-5)
        q, k, v = jnp.moveaxis(mlp.dense(params["qkv"], h).reshape(batch, T, 3, 2, D // 2), 2, 0)
        h = x + mlp.dense(params["o"], attention(q, k, v, causal).reshape(x.shape))
        return classified(
            params["out"],
            jnp.mean(h + mlp.dense(params["down"], jax.nn.gelu(mlp.dense(params["up"], h))), 1),
        )

    def recurrent(params):
        turn = lambda h, x: (jnp.tanh(mlp.dense(params["x"], x) + mlp.dense(params["h"], h)),) * 2
        last, every = jax.lax.scan(turn, jnp.zeros((batch, D)), x.swapaxes(0, 1))
        return classified(params["out"], last + jnp.max(every, 0))

    dense = lambda i, o: mlp.dense_spec(i, o, mlp.fan_in(1.0))
    loss, spec = perceptron(32, 3, batch)
    return {
        "perceptron": (loss, spec),
        "convolutional": (
            lambda params: classified(params["out"], convnet.apply(params["conv"], images)),
            {"conv": convnet.spec((1, 8, 16)), "out": dense(16, 10)},
        ),
        "attending": (
            attending,
            {
                "scale": dense(1, D),
                "qkv": dense(D, 3 * D),
                "o": dense(D, D),
                "up": dense(D, 4 * D),
                "down": dense(4 * D, D),
                "out": dense(D, 10),
            },
        ),
        "recurrent": (recurrent, {"x": dense(D, D), "h": dense(D, D), "out": dense(D, 10)}),
    }


def operations(f: Callable, *args) -> int:
    """Of products and convolutions in one call."""
    return cost.flops(jax.make_jaxpr(f)(*args))


def study(cfg: Config, key) -> Result:
    """Gradients of four networks beside JAX's; what a gradient costs in operations beside the loss, by the number of parameters, in both modes; what it
    costs in memory, by depth. Programs are counted as traced (`panorax.maths.cost`)."""
    metrics, gaps, pushes, ratios = {}, [], [], []
    for (name, (loss, spec)), key_init in zip(
        networks(cfg.batch).items(), jax.random.split(key, 4), strict=True
    ):
        params = core_spec.init(spec, key_init)
        ours, theirs = jax.jit(grad(loss))(params), jax.jit(jax.grad(loss))(params)
        largest = max(float(jnp.abs(g).max()) for g in jax.tree.leaves(theirs))
        gaps.append(
            max(
                float(jnp.abs(a - b).max())
                for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
            )
            / largest
        )
        direction = jax.tree.map(jnp.cos, params)
        slope = float(jax.jit(lambda p, t: forward(loss, (p,), (t,))[1])(params, direction))
        expected = float(
            sum(
                jnp.vdot(g, t)
                for g, t in zip(jax.tree.leaves(theirs), jax.tree.leaves(direction), strict=True)
            )
        )
        pushes.append(abs(slope - expected) / max(abs(expected), 1e-3))
        metrics[f"{name}_reverse_over_loss"] = operations(grad(loss), params) / operations(
            loss, params
        )
        metrics[f"{name}_forward_over_loss"] = operations(
            lambda p, t: forward(loss, (p,), (t,)), params, params
        ) / operations(loss, params)
        ratios.append(metrics[f"{name}_reverse_over_loss"])
    metrics |= {
        "largest_gradient_gap": max(gaps),
        "largest_slope_gap": max(pushes),
        "largest_reverse_over_loss": max(ratios),
    }

    by_width = {}
    for width in cfg.widths:
        loss, spec = perceptron(width, 2, cfg.batch)
        params, n = core_spec.abstract(spec), core_spec.count(spec)
        once = operations(loss, params)
        by_width[n] = (
            operations(grad(loss), params) / once,
            n * operations(lambda p, t: forward(loss, (p,), (t,)), params, params) / once,
        )
    by_depth = {}
    for depth in cfg.depths:
        loss, spec = perceptron(64, depth, cfg.batch)
        params = core_spec.abstract(spec)
        slope = lambda params: forward(loss, (params,), (params,))
        by_depth[depth] = [
            cost.peak_bytes(jax.make_jaxpr(f)(params)) for f in (loss, slope, grad(loss))
        ]
    (_, first), *_, (_, last) = by_depth.items()
    metrics["memory_growth_reverse"], metrics["memory_growth_forward"] = (
        last[2] / first[2],
        last[1] / first[1],
    )
    metrics["forward_over_reverse_largest"] = max(
        pushed / pulled for pulled, pushed in by_width.values()
    )
    return Result(metrics, {"autodiff.png": draw(by_width, by_depth)})


def draw(by_width, by_depth):
    """Operations over the number of parameters, memory over depth."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    operations, memory = figure.subplots(1, 2)
    for i, name in enumerate(("reverse: one pass", "forward: a pass for each parameter")):
        operations.plot(
            list(by_width), [pair[i] for pair in by_width.values()], "-o", ms=4, label=name
        )
    operations.set(
        title="operations of a gradient / those of the loss",
        xlabel="parameters",
        xscale="log",
        yscale="log",
    )
    for i, name in enumerate(("loss", "forward, one direction", "reverse")):
        memory.plot(
            list(by_depth), [row[i] / 1e6 for row in by_depth.values()], "-o", ms=4, label=name
        )
    memory.set(title="memory at the peak, MB", xlabel="layers")
    for ax in figure.axes:
        ax.grid(alpha=0.3)
        ax.legend(frameon=False)
    return figure
