"""Conditional flow matching on straight paths (Lipman et al. 2023, arXiv:2210.02747; rectified flow, Liu et al. 2023, arXiv:2209.03003).

Noise x_0 ~ N(0, I) and data x_1 are joined by x_t = (1 - t) x_0 + t x_1 (Lipman's optimal-transport path at sigma_min = 0), whose velocity is x_1 - x_0. The network learns the mean velocity at
each point and time,

    min_v  E | v(x_t, t, y) - (x_1 - x_0) |^2,        t ~ U(0, 1),

and solving dx/dt = v(x, t, y) from t = 0 to 1 turns noise into data. (Diffusers runs time the other way: t = 1 is noise there.)
Classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598): the label is dropped now and then, and samples follow
v(x, t, none) + w (v(x, t, y) - v(x, t, none)); w = 1 is the field of the class, and the w of that paper is ours minus 1.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

from panorax.core import spec as core_spec
from panorax.core import struct
from panorax.core.config import Run, module_of
from panorax.core.net import Net
from panorax.core.optim import AdamW, Optimizer, optimizer
from panorax.core.ranges import Count, NonNegative, Share, checked
from panorax.core.state import Result, State, System, first_state
from panorax.core.step import update
from panorax.data import densities, images
from panorax.data.batches import weighted
from panorax.data.source import Source
from panorax.nets import dit, unet, velocity_mlp
from panorax.ops.solvers import euler


@checked
class Config:
    net: dit.Config | unet.Config | velocity_mlp.Config = dit.Config()
    data: images.Config | densities.Config = images.Config()
    optim: Optimizer = AdamW()
    run: Run = Run()
    batch: Count = 128
    label_dropout: Share = 0.1
    """share of training examples that lose their label"""
    ema: Share = 0.999
    """decay of the running mean of the parameters that samples come from, reached after about 9 / (1 - ema) steps"""
    guidance: NonNegative = 2.0
    """w of the report's samples of data that has classes"""

    def __post_init__(self):
        if self.guidance != 1 and self.label_dropout == 0:
            raise ValueError(
                "guidance other than 1 needs label-dropout above 0: the field without a label would be untrained"
            )


@struct.dataclass
class Extra:
    """State of the network, and the exponential moving average of the parameters."""

    net: Any
    ema: Any


def interpolate(x0, x1, t_B):
    """(1 - t) x_0 + t x_1, one time per row."""
    t = t_B.reshape(-1, *(1,) * (x1.ndim - 1))
    return (1 - t) * x0 + t * x1


def errors(params, extra, batch, key, net: Net, source: Source, cfg: Config, train: bool):
    """|v - (x_1 - x_0)|^2 of each row, mean over its entries, at noise, times and dropped labels drawn from the key."""
    key_noise, key_time, key_drop, key_net = jax.random.split(key, 4)
    x1, label_B = batch["x"], batch["label"]
    x0 = jax.random.normal(key_noise, x1.shape)
    t_B = jax.random.uniform(key_time, label_B.shape)
    drop_B = jax.random.bernoulli(key_drop, cfg.label_dropout, label_B.shape)
    label_B = jnp.where(drop_B, source.classes, label_B)  # the label after the last means none
    v, extra = net.apply(
        params, extra, interpolate(x0, x1, t_B), t_B, label_B, key=key_net, train=train
    )
    return jnp.mean(jnp.square(v - (x1 - x0)).reshape(len(label_B), -1), 1), extra


def loss_fn(params, extra, batch, key, net: Net, source: Source, cfg: Config):
    """The squared error at the top of this file, mean over all entries."""
    error_B, extra = errors(params, extra, batch, key, net, source, cfg, train=True)
    return jnp.mean(error_B), (extra, {})


def train_step(
    state: State,
    batch,
    key,
    net: Net,
    source: Source,
    tx: optax.GradientTransformation,
    cfg: Config,
):
    """One update, then ema <- d ema + (1 - d) params, d = min(cfg.ema, (1 + s) / (10 + s)) at step s."""
    loss = functools.partial(loss_fn, net=net, source=source, cfg=cfg)
    params, opt, carried, metrics = update(
        loss, tx, state.params, state.opt, state.extra.net, batch, key
    )
    decay = jnp.minimum(cfg.ema, (1 + state.step) / (10 + state.step))
    ema = jax.tree.map(
        lambda slow, fast: decay * slow + (1 - decay) * fast, state.extra.ema, params
    )
    return State(params, opt, Extra(carried, ema), state.step + 1), metrics


def evaluate(state: State, batch, key, net: Net, source: Source, cfg: Config):
    """The training loss, dropped labels included, of the averaged parameters on held-out data."""
    error_B, _ = errors(state.extra.ema, state.extra.net, batch, key, net, source, cfg, train=False)
    return {"eval_loss": (jnp.sum(error_B * batch["weight"]), jnp.sum(batch["weight"]))}


def velocity(field: Callable, label_B: Int[Array, " B"], none: int, guidance: float) -> Callable:
    """f(t, x) for the solvers: the guided field for these labels, of `field(x, t_B, label_B)`.

    `none` is the label that means no label. Both fields are computed in one batch; w = 1 (a Python number) needs one.
    """
    none_B = jnp.full_like(label_B, none)

    def plain(t, x):
        return field(x, jnp.full(label_B.shape, t), label_B)

    def guided(t, x):
        labels = jnp.concatenate([label_B, none_B])
        both = field(jnp.concatenate([x, x]), jnp.full(labels.shape, t), labels)
        conditional, unconditional = jnp.split(both, 2)
        return unconditional + guidance * (conditional - unconditional)

    return plain if guidance == 1 else guided


def samples(
    state: State,
    key: jax.Array,
    label_B,
    net: Net,
    source: Source,
    steps: int,
    guidance: float = 1.0,
    solver=euler,
):
    """One sample per label, (B, ...): `steps` equal steps of a grid solver from noise at t = 0 to data at t = 1."""

    def field(x, t_B, label_B):
        return net.apply(state.extra.ema, state.extra.net, x, t_B, label_B)[0]

    x0 = jax.random.normal(key, (len(label_B), *source.shape))
    return solver(
        velocity(field, label_B, source.classes, guidance), x0, jnp.linspace(0.0, 1.0, steps + 1)
    )


def report(state: State, key: jax.Array, net: Net, source: Source, cfg: Config) -> Result:
    """What the data says of samples from the averaged parameters."""
    compiled = jax.jit(
        functools.partial(samples, net=net, source=source),
        static_argnames=("steps", "guidance", "solver"),
    )

    def draw(key, label_B, steps, guidance=cfg.guidance, solver=euler):
        return compiled(state, key, label_B, steps=steps, guidance=guidance, solver=solver)

    return source.judge(draw, key)


def system(
    cfg: Config, net: Net | None = None, tx: optax.GradientTransformation | None = None
) -> System:
    """Flow matching between noise and the data of the config; `net` and `tx` replace its network and optimiser."""
    source = module_of(cfg.data).source(cfg.data)
    net = net or module_of(cfg.net).net(cfg.net, source.shape, source.classes + 1)
    tx = tx or optimizer(cfg.optim, cfg.run.steps, net.spec)
    parts = {"net": net, "source": source}
    rows = lambda dtype, *shape: jax.ShapeDtypeStruct((cfg.batch, *shape), dtype)

    def init_state(key):
        params, extra = net.init(key)
        return first_state(params, tx, Extra(extra, jax.tree.map(jnp.copy, params)))

    return System(
        spec=net.spec,
        init_state=init_state,
        train_step=functools.partial(train_step, tx=tx, cfg=cfg, **parts),
        evaluate=functools.partial(evaluate, cfg=cfg, **parts),
        batch={"x": rows(jnp.float32, *source.shape), "label": rows(jnp.int32)},
        batches=lambda step: source.batch(cfg.batch, cfg.run.seed, step),
        held_out=lambda: weighted(source.held_out(), cfg.batch),
        report=functools.partial(report, cfg=cfg, **parts),
        extra_axes=Extra(net=None, ema=core_spec.axes(net.spec)),
        per_step={"examples": cfg.batch},
    )
