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
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from panorax.core import spec as core_spec
from panorax.core import struct
from panorax.core.config import Run, module_of
from panorax.core.optim import AdamW, optimizer
from panorax.core.ranges import Count, NonNegative, Share
from panorax.core.state import Result, State, System
from panorax.core.step import update
from panorax.generative import densities, digits
from panorax.nets import dit, unet, velocity_mlp
from panorax.ops.solvers import euler


@dataclass(frozen=True)
class Config:
    net: dit.Config | unet.Config | velocity_mlp.Config = dit.Config()
    data: digits.Config | densities.Config = digits.Config()
    optim: AdamW = AdamW()
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
            raise ValueError("guidance other than 1 needs label-dropout above 0: the field without a label would be untrained")


@struct.dataclass
class Extra:
    """The exponential moving average of the parameters."""

    ema: dict


def no_label(cfg: Config) -> int:
    """One label more than the data has stands for none."""
    return module_of(cfg.data).classes(cfg.data)


def spec(cfg: Config):
    """Parameters of the velocity network."""
    return module_of(cfg.net).spec(cfg.net, module_of(cfg.data).shape(cfg.data), no_label(cfg) + 1)


def apply(params, x: Float[Array, "B *shape"], t_B: Float[Array, " B"], label_B: Int[Array, " B"], cfg: Config) -> Float[Array, "B *shape"]:
    """The velocity at x, t and label."""
    return module_of(cfg.net).apply(params, x, t_B, label_B, cfg.net)


def interpolate(x0, x1, t_B):
    """(1 - t) x_0 + t x_1, one time per row."""
    t = t_B.reshape(-1, *(1,) * (x1.ndim - 1))
    return (1 - t) * x0 + t * x1


def loss_fn(params, extra, batch, key, cfg: Config):
    """The squared error at the top of this file, mean over all entries."""
    key_noise, key_time, key_drop = jax.random.split(key, 3)
    x1, label_B = batch["x"], batch["label"]
    x0 = jax.random.normal(key_noise, x1.shape)
    t_B = jax.random.uniform(key_time, label_B.shape)
    label_B = jnp.where(jax.random.bernoulli(key_drop, cfg.label_dropout, label_B.shape), no_label(cfg), label_B)
    error = apply(params, interpolate(x0, x1, t_B), t_B, label_B, cfg) - (x1 - x0)
    return jnp.mean(jnp.square(error)), (extra, {})


def train_step(state: State, batch, key, cfg: Config):
    """One update of AdamW, then ema <- d ema + (1 - d) params, d = min(cfg.ema, (1 + s) / (10 + s)) at step s."""
    state, metrics = update(functools.partial(loss_fn, cfg=cfg), transformation(cfg), state, batch, key)
    decay = jnp.minimum(cfg.ema, (1 + state.step) / (10 + state.step))
    ema = jax.tree.map(lambda slow, fast: decay * slow + (1 - decay) * fast, state.extra.ema, state.params)
    return state.replace(extra=Extra(ema), step=state.step + 1), metrics


def transformation(cfg: Config):
    """AdamW; biases do not decay."""
    return optimizer(cfg.optim, cfg.run.steps, core_spec.matrices(spec(cfg)))


def evaluate(state: State, batch, key, cfg: Config):
    """The training loss, dropped labels included, of the averaged parameters on held-out data, at noise and times fixed by the key."""
    loss, _ = loss_fn(state.extra.ema, (), batch, key, cfg)
    return {"eval_loss": loss}


def velocity(params, label_B: Int[Array, " B"], guidance: float, cfg: Config) -> Callable:
    """f(t, x) for the solvers: the guided field for these labels. Both fields are computed in one batch; w = 1 (a Python number) needs one."""
    none_B = jnp.full_like(label_B, no_label(cfg))

    def plain(t, x):
        return apply(params, x, jnp.full(label_B.shape, t), label_B, cfg)

    def guided(t, x):
        labels = jnp.concatenate([label_B, none_B])
        both = apply(params, jnp.concatenate([x, x]), jnp.full(labels.shape, t), labels, cfg)
        conditional, unconditional = jnp.split(both, 2)
        return unconditional + guidance * (conditional - unconditional)

    return plain if guidance == 1 else guided


def samples(params, key: jax.Array, label_B: Int[Array, " B"], cfg: Config, steps: int, guidance: float = 1.0, solver: Callable = euler):
    """One sample per label, (B, ...): `steps` equal steps of a grid solver from noise at t = 0 to data at t = 1."""
    x0 = jax.random.normal(key, (len(label_B), *module_of(cfg.data).shape(cfg.data)))
    return solver(velocity(params, label_B, guidance, cfg), x0, jnp.linspace(0.0, 1.0, steps + 1))


def report(state: State, key: jax.Array, cfg: Config) -> Result:
    """The data's own judgement of samples from the averaged parameters."""

    compiled = jax.jit(samples, static_argnames=("cfg", "steps", "guidance", "solver"))

    def draw(key, label_B, steps, guidance=cfg.guidance, solver=euler):
        return compiled(state.extra.ema, key, label_B, cfg, steps, guidance, solver)

    return module_of(cfg.data).judge(draw, key, cfg.data)


def init_state(key, cfg: Config) -> State:
    """Fresh parameters, and their average at the same place."""
    params = core_spec.init(spec(cfg), key)
    return State(params, transformation(cfg).init(params), Extra(jax.tree.map(jnp.copy, params)), jnp.int32(0))


def system(cfg: Config) -> System:
    """Flow matching between noise and the data of the config."""
    source, rows = module_of(cfg.data), lambda dtype, *shape: jax.ShapeDtypeStruct((cfg.batch, *shape), dtype)
    return System(
        spec=spec(cfg),
        init_state=functools.partial(init_state, cfg=cfg),
        train_step=functools.partial(train_step, cfg=cfg),
        evaluate=functools.partial(evaluate, cfg=cfg),
        batch={"x": rows(jnp.float32, *source.shape(cfg.data)), "label": rows(jnp.int32)},
        batches=lambda step: source.batch(cfg.data, cfg.batch, cfg.run.seed, step),
        held_out=lambda: source.held_out(cfg.data),
        report=functools.partial(report, cfg=cfg),
        extra_axes=Extra(core_spec.axes(spec(cfg))),
    )
