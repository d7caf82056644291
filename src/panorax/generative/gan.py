"""Generative adversarial network (Goodfellow et al. 2014, arXiv:1406.2661) with gradient penalties.

A generator G makes an image of class y from noise z ~ N(0, I); a discriminator D scores images of a
class. With real images x, generated images x' = G(z, y) and f(t) = log(1 + e^t), one training step
updates D down L_D, then G down L_G against the updated D:

    non-saturating   L_D = E f(-D(x, y)) + f(D(x', y)),     L_G = E f(-D(x', y))
    relativistic     L_D = E f(D(x', y) - D(x, y)),         L_G = E f(D(x, y) - D(x', y))

The relativistic game (Jolicoeur-Martineau 2019, arXiv:1807.00734) pairs x and x' of one class. Both
games add r1/2 E |grad_x D(x, y)|^2 + r2/2 E |grad_x' D(x', y)|^2 to L_D. With R1 the game converges
near its equilibrium (Mescheder et al. 2018, arXiv:1801.04406). The relativistic game with both
penalties is R3GAN (Huang et al. 2024, arXiv:2501.05441).

Samples come from a running mean of G's parameters. Real and generated images of an update share
their classes, so that D learns the images of each class and not how often a class occurs.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from panorax.core import spec as core_spec
from panorax.core import struct
from panorax.core.config import Run, module_of
from panorax.core.net import Net
from panorax.core.optim import AdamW, Optimizer, optimizer
from panorax.core.ranges import Count, NonNegative, Share, Whole, checked
from panorax.core.state import State, System
from panorax.core.step import update
from panorax.data import images
from panorax.data.batches import weighted
from panorax.generative.seeds import report
from panorax.nets import conditional_mlp

Nets = dict[str, Net]  # keys "discriminator" and "generator", as of the optimisers
Optimizers = dict[str, optax.GradientTransformation]


@checked
class Config:
    generator: conditional_mlp.Config = conditional_mlp.Config()
    discriminator: conditional_mlp.Config = conditional_mlp.Config()
    data: images.Config = images.Config()
    generator_optim: Optimizer = AdamW(b1=0.0, b2=0.99)
    discriminator_optim: Optimizer = AdamW(b1=0.0, b2=0.99)
    run: Run = Run()
    batch: Count = 128
    """real images per step, and generated images per update [B]"""
    game: Literal["non_saturating", "relativistic"] = "relativistic"
    """losses of both players"""
    r1: NonNegative = 0.1
    """weight of D's squared gradient at real images"""
    r2: NonNegative = 0.1
    """weight of D's squared gradient at generated images"""
    latent: Count = 64
    """entries of the noise z"""
    ema: Share = 0.999
    """decay of the running mean of G's parameters, reached after about 9 / (1 - ema) steps"""
    seeds: Whole = 10
    """seeds trained for the report, to show that none collapses; 0 trains none"""


class Game(NamedTuple):
    """Losses of both players, elementwise, of the scores of real and of generated images."""

    discriminator: Callable
    generator: Callable


GAMES = {
    "non_saturating": Game(
        lambda real, fake: jax.nn.softplus(-real) + jax.nn.softplus(fake),
        lambda real, fake: jax.nn.softplus(-fake),
    ),
    "relativistic": Game(
        lambda real, fake: jax.nn.softplus(fake - real),
        lambda real, fake: jax.nn.softplus(real - fake),
    ),
}


@struct.dataclass
class Extra:
    """State of both networks, and the exponential moving average of the generator's parameters."""

    discriminator: Any
    generator: Any
    ema: Any


def generated(params, extra, z_BL, label_B, net: Net, key=None, train: bool = False):
    """tanh of the generator's output, (B, Y, X, C), and the state of its network."""
    x, extra = net.apply(params, extra, z_BL, label_B, key=key, train=train)
    return jnp.tanh(x), extra


def discriminator_loss_fn(params, extra, batch, key, opponent, nets: Nets, game: Game, cfg: Config):
    """L_D at the top of this file against `opponent`, the generator's (params, extra).

    The gradient of the sum of all scores holds every image's own gradient, because no score depends
    on another row. Metrics: the penalties' part of the loss, and `mean_gap`, the mean square of the
    difference between the mean real and the mean generated image of the batch.
    """
    real, label_B = batch["x"], batch["label"]
    fake, _ = generated(*opponent, batch["z"], label_B, nets["generator"])
    both_B = jnp.concatenate([label_B, label_B])

    def total(x):
        score, after = nets["discriminator"].apply(params, extra, x, both_B, key=key, train=True)
        return jnp.sum(score), (score, after)

    slope, (score, extra) = jax.grad(total, has_aux=True)(jnp.concatenate([real, fake]))
    r1, r2 = jnp.mean(jnp.sum(jnp.square(slope).reshape(2, len(label_B), -1), -1), -1)
    penalty = cfg.r1 / 2 * r1 + cfg.r2 / 2 * r2
    mean_gap = jnp.mean(jnp.square(jnp.mean(real, 0) - jnp.mean(fake, 0)))
    loss = jnp.mean(game.discriminator(*jnp.split(score, 2))) + penalty
    return loss, (extra, {"penalty": penalty, "mean_gap": mean_gap})


def loss_fn(params, extra, batch, key, opponent, nets: Nets, game: Game):
    """L_G at the top of this file against `opponent`, the discriminator's (params, extra)."""
    label_B = batch["label"]
    fake, extra = generated(params, extra, batch["z"], label_B, nets["generator"], key, train=True)
    score = lambda x: nets["discriminator"].apply(*opponent, x, label_B)[0]
    return jnp.mean(game.generator(score(batch["x"]), score(fake))), (extra, {})


def train_step(state: State, batch, key, nets: Nets, txs: Optimizers, game: Game, cfg: Config):
    """D's update, G's update against the new D, then ema <- d ema + (1 - d) params of G.

    d = min(cfg.ema, (1 + s) / (10 + s)) at step s. Each update has its own noise. The opponent's
    network is used as in evaluation. The metric `loss` is the sum of both players' losses.
    """
    params, opt, extra = state.params, state.opt, state.extra
    key_d, key_g, key_z = jax.random.split(key, 3)
    z_2BL = jax.random.normal(key_z, (2, len(batch["label"]), cfg.latent))

    opponent = params["generator"], extra.generator
    loss = functools.partial(
        discriminator_loss_fn, opponent=opponent, nets=nets, game=game, cfg=cfg
    )
    player = txs["discriminator"], params["discriminator"], opt["discriminator"]
    rows = batch | {"z": z_2BL[0]}
    d, opt_d, carried_d, of_d = update(loss, *player, extra.discriminator, rows, key_d)

    loss = functools.partial(loss_fn, opponent=(d, carried_d), nets=nets, game=game)
    player = txs["generator"], params["generator"], opt["generator"]
    rows = batch | {"z": z_2BL[1]}
    g, opt_g, carried_g, of_g = update(loss, *player, extra.generator, rows, key_g)

    decay = jnp.minimum(cfg.ema, (1 + state.step) / (10 + state.step))
    ema = jax.tree.map(lambda slow, fast: decay * slow + (1 - decay) * fast, extra.ema, g)
    params, opt = {"discriminator": d, "generator": g}, {"discriminator": opt_d, "generator": opt_g}
    return State(params, opt, Extra(carried_d, carried_g, ema), state.step + 1), metrics(of_d, of_g)


def metrics(of_d: dict, of_g: dict) -> dict:
    """Metrics of a step from those of the two updates."""
    return {
        "loss": of_d["loss"] + of_g["loss"],
        "discriminator_loss": of_d["loss"],
        "generator_loss": of_g["loss"],
        "grad_norm": jnp.hypot(of_d["grad_norm"], of_g["grad_norm"]),
        "penalty": of_d["penalty"],
        "mean_gap": of_d["mean_gap"],
    }


def evaluate(state: State, batch, key, nets: Nets, game: Game, cfg: Config):
    """Both losses on held-out images, each paired with an image of its class from the averaged G.

    The losses have no penalties. The accuracy is the share of pairs in which D gives the real image
    the higher score, 0.5 for a D that cannot tell them apart.
    """
    label_B, weight_B = batch["label"], batch["weight"]
    fake = samples(state, key, label_B, nets["generator"], cfg)
    params, extra = state.params["discriminator"], state.extra.discriminator
    score = lambda x: nets["discriminator"].apply(params, extra, x, label_B)[0]
    pair = score(batch["x"]), score(fake)
    total = jnp.sum(weight_B)
    return {
        "eval_discriminator_loss": (jnp.sum(game.discriminator(*pair) * weight_B), total),
        "eval_generator_loss": (jnp.sum(game.generator(*pair) * weight_B), total),
        "eval_discriminator_accuracy": (jnp.sum((pair[0] > pair[1]) * weight_B), total),
    }


def samples(state: State, key: jax.Array, label_B, net: Net, cfg: Config):
    """One image per label from the averaged generator, (B, Y, X, C) in [-1, 1]."""
    z_BL = jax.random.normal(key, (len(label_B), cfg.latent))
    return generated(state.extra.ema, state.extra.generator, z_BL, label_B, net)[0]


def networks(cfg: Config) -> Nets:
    """D(x, label) -> score (B,), and G(z, label) -> (B, Y, X, C) before its tanh."""
    shape, classes = cfg.data.shape, cfg.data.classes
    make_d, make_g = module_of(cfg.discriminator).net, module_of(cfg.generator).net
    return {
        "discriminator": make_d(cfg.discriminator, shape, (), classes),
        "generator": make_g(cfg.generator, (cfg.latent,), shape, classes),
    }


def system(cfg: Config, net: Nets | None = None, tx: Optimizers | None = None) -> System:
    """The game of the config; `net` and `tx` replace its networks and its optimisers, by player."""
    source, game = images.source(cfg.data), GAMES[cfg.game]
    nets = net or networks(cfg)
    spec = {player: nets[player].spec for player in nets}
    optims = {"discriminator": cfg.discriminator_optim, "generator": cfg.generator_optim}
    txs = tx or {player: optimizer(optims[player], cfg.run.steps, spec[player]) for player in nets}
    rows = lambda dtype, *shape: jax.ShapeDtypeStruct((cfg.batch, *shape), dtype)

    def init_state(key):
        key_d, key_g = jax.random.split(key)
        d, carried_d = nets["discriminator"].init(key_d)
        g, carried_g = nets["generator"].init(key_g)
        params = {"discriminator": d, "generator": g}
        opt = {player: txs[player].init(params[player]) for player in params}
        return State(
            params, opt, Extra(carried_d, carried_g, jax.tree.map(jnp.copy, g)), jnp.int32(0)
        )

    gan = System(
        spec=spec,
        init_state=init_state,
        train_step=functools.partial(train_step, nets=nets, txs=txs, game=game, cfg=cfg),
        evaluate=functools.partial(evaluate, nets=nets, game=game, cfg=cfg),
        batch={"x": rows(jnp.float32, *source.shape), "label": rows(jnp.int32)},
        batches=lambda step: source.batch(cfg.batch, cfg.run.seed, step),
        held_out=lambda: weighted(source.held_out(), cfg.batch),
        extra_axes=Extra(None, None, core_spec.axes(spec["generator"])),
        per_step={"examples": cfg.batch},
    )
    draw = functools.partial(samples, net=nets["generator"], cfg=cfg)
    return dataclasses.replace(gan, report=functools.partial(report, gan=gan, draw=draw, cfg=cfg))
