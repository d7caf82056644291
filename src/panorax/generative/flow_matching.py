"""Conditional flow matching on straight paths, with classifier-free guidance.

The path x_t = (1 - t) x_0 + t x_1 runs from noise x_0 ~ N(0, I) to data x_1 with label y, at the
velocity x_1 - x_0. It is Lipman's optimal-transport path at sigma_min = 0. The network v minimises

    E | v(x_t, t, y) - (x_1 - x_0) |^2,        t ~ U(0, 1),

and so learns the mean velocity at each point and time. The solution of dx/dt = v(x, t, y) from
t = 0 to 1 maps noise to data. (Diffusers reverses time: there, t = 1 is noise.)

Training drops some labels. Samples with guidance w follow the field

    v(x, t, none) + w (v(x, t, y) - v(x, t, none)).

w = 1 is the conditional field. The w of Ho & Salimans is ours minus 1.
Source: Lipman et al. 2023, arXiv:2210.02747; Liu et al. 2023, arXiv:2209.03003 (rectified flow);
Ho & Salimans 2022, arXiv:2207.12598 (guidance).
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

UNITS = {"loss": "squared error per coordinate"}
"""units of the metrics, for the axes of curves"""


@checked
class Config:
    net: dit.Config | unet.Config | velocity_mlp.Config = dit.Config()
    """network of the velocity field"""
    data: images.Config | densities.Config = images.Config()
    """images, or a density in the plane"""
    optim: Optimizer = AdamW()
    """optimiser"""
    run: Run = Run()
    """length of the run, and intervals of evaluation and checkpoints"""
    batch: Count = 128
    """examples per step [B]"""
    label_dropout: Share = 0.1
    """probability that training drops the label of an example"""
    ema: Share = 0.999
    """decay of the parameter average that samples; warm-up takes about 9 / (1 - ema) steps"""
    guidance: NonNegative = 2.0
    """guidance of the images sampled in the report [w]; 1 disables it"""

    def __post_init__(self):
        if self.guidance != 1 and self.label_dropout == 0:
            raise ValueError(
                "guidance other than 1 needs label-dropout above 0 to train the field without label"
            )


@struct.dataclass
class Extra:
    """State of the network, and exponential moving average of the parameters."""

    net: Any
    ema: Any


def interpolate(x0, x1, t_B):
    """x_t = (1 - t) x_0 + t x_1 with one time per row."""
    t = t_B.reshape(-1, *(1,) * (x1.ndim - 1))
    return (1 - t) * x0 + t * x1


def errors(params, extra, batch, key, net: Net, source: Source, cfg: Config, train: bool):
    """Squared error |v - (x_1 - x_0)|^2 of each row, and the state of the network.

    The error is averaged over the entries of a row. The key draws noise, times and dropped labels.
    """
    key_noise, key_time, key_drop, key_net = jax.random.split(key, 4)
    x1, label_B = batch["x"], batch["label"]
    x0 = jax.random.normal(key_noise, x1.shape)
    t_B = jax.random.uniform(key_time, label_B.shape)
    drop_B = jax.random.bernoulli(key_drop, cfg.label_dropout, label_B.shape)
    label_B = jnp.where(drop_B, source.classes, label_B)  # label `classes` means none
    x_t = interpolate(x0, x1, t_B)
    v, extra = net.apply(params, extra, x_t, t_B, label_B, key=key_net, train=train)
    return jnp.mean(jnp.square(v - (x1 - x0)).reshape(len(label_B), -1), 1), extra


def loss_fn(params, extra, batch, key, net: Net, source: Source, cfg: Config):
    """The squared error of `errors`, averaged over all rows, in training."""
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
    """One update, then ema <- d ema + (1 - d) params with d = min(cfg.ema, (1 + s) / (10 + s)).

    s is the step.
    """
    loss, extra = functools.partial(loss_fn, net=net, source=source, cfg=cfg), state.extra
    params, opt, carried, metrics = update(loss, tx, state.params, state.opt, extra.net, batch, key)
    decay = jnp.minimum(cfg.ema, (1 + state.step) / (10 + state.step))
    ema = jax.tree.map(lambda slow, fast: decay * slow + (1 - decay) * fast, extra.ema, params)
    return State(params, opt, Extra(carried, ema), state.step + 1), metrics


def evaluate(state: State, batch, key, net: Net, source: Source, cfg: Config):
    """Loss of the averaged parameters on held-out data, with labels dropped as in training."""
    error_B, _ = errors(state.extra.ema, state.extra.net, batch, key, net, source, cfg, train=False)
    return {"eval_loss": (jnp.sum(error_B * batch["weight"]), jnp.sum(batch["weight"]))}


def velocity(field: Callable, label_B: Int[Array, " B"], none: int, guidance: float) -> Callable:
    """The guided velocity f(t, x) of `field(x, t_B, label_B)` for the solvers.

    none: label that means no label.  guidance: w, a Python number. One batch of twice the size
    computes both fields; w = 1 computes only the field of the class.
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
    """Draws one sample per label, (B, ...), in `steps` equal solver steps from t = 0 to t = 1."""

    def field(x, t_B, label_B):
        return net.apply(state.extra.ema, state.extra.net, x, t_B, label_B)[0]

    x0 = jax.random.normal(key, (len(label_B), *source.shape))
    guided = velocity(field, label_B, source.classes, guidance)
    return solver(guided, x0, jnp.linspace(0.0, 1.0, steps + 1))


def report(state: State, key: jax.Array, net: Net, source: Source, cfg: Config) -> Result:
    """Quality of samples from the averaged parameters, judged by the data source."""
    draw_samples = functools.partial(samples, net=net, source=source)
    compiled = jax.jit(draw_samples, static_argnames=("steps", "guidance", "solver"))

    def draw(key, label_B, steps, guidance=cfg.guidance, solver=euler):
        x = compiled(state, key, label_B, steps=steps, guidance=guidance, solver=solver)
        return jax.device_get(x)  # one program on all devices at a time

    return source.judge(draw, key)


def system(
    cfg: Config, net: Net | None = None, tx: optax.GradientTransformation | None = None
) -> System:
    """Flow matching on the config's data; `net` and `tx` replace its network and optimiser."""
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
