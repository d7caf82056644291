"""Generative adversarial network (Goodfellow et al. 2014, arXiv:1406.2661) with gradient penalties.

A generator G maps noise z ~ N(0, I) and a class y to an image x' = G(z, y). A discriminator D
scores images of a class. With real images x and f(t) = log(1 + e^t), a training step updates D by
the gradient of L_D, then G by the gradient of L_G against the updated D:

    non-saturating   L_D = E f(-D(x, y)) + f(D(x', y)),     L_G = E f(-D(x', y))
    relativistic     L_D = E f(D(x', y) - D(x, y)),         L_G = E f(D(x, y) - D(x', y))

The relativistic game (Jolicoeur-Martineau 2019, arXiv:1807.00734) pairs x and x' of the same class.
Both games add r1/2 E |grad_x D(x, y)|^2 + r2/2 E |grad_x' D(x', y)|^2 to L_D. With the r1 penalty,
training converges near the equilibrium (Mescheder et al. 2018, arXiv:1801.04406). The relativistic
game with both penalties is R3GAN (Huang et al. 2024, arXiv:2501.05441).

Samples use an exponential moving average of G's parameters. The real and the generated images of an
update have the same classes, so D cannot use the frequencies of the classes.
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

Nets = dict[str, Net]  # keys "discriminator" and "generator"
Optimizers = dict[str, optax.GradientTransformation]  # the same keys

UNITS = {
    "loss": "nats per image",
    "discriminator_loss": "nats per image",
    "generator_loss": "nats per image",
    "discriminator_accuracy": "share of pairs",
    "mean_gap": "squared pixel values",
}
"""units of the metrics, for the axes of curves"""


@checked
class Config:
    generator: conditional_mlp.Config = conditional_mlp.Config()
    """network of the generator G"""
    discriminator: conditional_mlp.Config = conditional_mlp.Config()
    """network of the discriminator D"""
    data: images.Config = images.Config()
    """training and held-out images"""
    generator_optim: Optimizer = AdamW(b1=0.0, b2=0.99)
    """optimiser of the generator"""
    discriminator_optim: Optimizer = AdamW(b1=0.0, b2=0.99)
    """optimiser of the discriminator"""
    run: Run = Run()
    """length of the run, and intervals of evaluation and checkpoints"""
    batch: Count = 128
    """real images per step, and generated images per update [B]"""
    game: Literal["non_saturating", "relativistic"] = "relativistic"
    """losses of both players"""
    r1: NonNegative = 0.1
    """weight of the squared gradient of D at real images [r1]"""
    r2: NonNegative = 0.1
    """weight of the squared gradient of D at generated images [r2]"""
    latent: Count = 64
    """dimension of the noise [z]"""
    ema: Share = 0.999
    """decay of the average of G's parameters; warm-up takes about 9 / (1 - ema) steps"""
    seeds: Whole = 10
    """number of further seeds that the report trains to detect collapse"""


class Game(NamedTuple):
    """Elementwise losses of both players as functions of the real and the generated scores."""

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
    """States of both networks, and exponential moving average of the generator's parameters."""

    discriminator: Any
    generator: Any
    ema: Any


def generated(params, extra, z_BL, label_B, net: Net, key=None, train: bool = False):
    """Generated images (B, Y, X, C), the tanh of the network's output, and the network's state."""
    x, extra = net.apply(params, extra, z_BL, label_B, key=key, train=train)
    return jnp.tanh(x), extra


def discriminator_loss_fn(params, extra, batch, key, opponent, nets: Nets, game: Game, cfg: Config):
    """L_D above, against the generator's (params, extra) in `opponent`.

    No score depends on another row, so the gradient of the summed scores contains the gradient at
    each image. Metrics: `penalty`, the sum of both penalties; `mean_gap`, the mean squared
    difference between the mean real image and the mean generated image of the batch.
    """
    real, label_B = batch["x"], batch["label"]
    fake, _ = generated(*opponent, batch["z"], label_B, nets["generator"])
    labels_2B = jnp.concatenate([label_B, label_B])

    def total(x):
        score, after = nets["discriminator"].apply(params, extra, x, labels_2B, key=key, train=True)
        return jnp.sum(score), (score, after)

    gradient, (score, extra) = jax.grad(total, has_aux=True)(jnp.concatenate([real, fake]))
    r1, r2 = jnp.mean(jnp.sum(jnp.square(gradient).reshape(2, len(label_B), -1), -1), -1)
    penalty = cfg.r1 / 2 * r1 + cfg.r2 / 2 * r2
    mean_gap = jnp.mean(jnp.square(jnp.mean(real, 0) - jnp.mean(fake, 0)))
    loss = jnp.mean(game.discriminator(*jnp.split(score, 2))) + penalty
    return loss, (extra, {"penalty": penalty, "mean_gap": mean_gap})


def loss_fn(params, extra, batch, key, opponent, nets: Nets, game: Game):
    """L_G above, against the discriminator's (params, extra) in `opponent`."""
    label_B = batch["label"]
    fake, extra = generated(params, extra, batch["z"], label_B, nets["generator"], key, train=True)
    score = lambda x: nets["discriminator"].apply(*opponent, x, label_B)[0]
    return jnp.mean(game.generator(score(batch["x"]), score(fake))), (extra, {})


def train_step(state: State, batch, key, nets: Nets, txs: Optimizers, game: Game, cfg: Config):
    """Updates D, then G against the new D, then ema <- d ema + (1 - d) params of G.

    At step s, d = min(cfg.ema, (1 + s) / (10 + s)). Each update has its own noise and evaluates the
    opponent's network without training it. The metric `loss` is the sum of both losses.
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
    d, opt_d, carried_d, metrics_d = update(loss, *player, extra.discriminator, rows, key_d)

    loss = functools.partial(loss_fn, opponent=(d, carried_d), nets=nets, game=game)
    player = txs["generator"], params["generator"], opt["generator"]
    rows = batch | {"z": z_2BL[1]}
    g, opt_g, carried_g, metrics_g = update(loss, *player, extra.generator, rows, key_g)

    decay = jnp.minimum(cfg.ema, (1 + state.step) / (10 + state.step))
    ema = jax.tree.map(lambda slow, fast: decay * slow + (1 - decay) * fast, extra.ema, g)
    params, opt = {"discriminator": d, "generator": g}, {"discriminator": opt_d, "generator": opt_g}
    after = State(params, opt, Extra(carried_d, carried_g, ema), state.step + 1)
    return after, step_metrics(metrics_d, metrics_g)


def step_metrics(discriminator: dict, generator: dict) -> dict:
    """Metrics of a step from the metrics of the two updates."""
    return {
        "loss": discriminator["loss"] + generator["loss"],
        "discriminator_loss": discriminator["loss"],
        "generator_loss": generator["loss"],
        "grad_norm": jnp.hypot(discriminator["grad_norm"], generator["grad_norm"]),
        "penalty": discriminator["penalty"],
        "mean_gap": discriminator["mean_gap"],
    }


def evaluate(state: State, batch, key, nets: Nets, game: Game, cfg: Config):
    """Both losses without penalties, on pairs of a held-out image and an image of the averaged G.

    The images of a pair have the same class. The accuracy is the share of pairs whose real image
    has the higher score: 0.5 for a D that cannot distinguish them.
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
    """Draws one image per label from the averaged generator, (B, Y, X, C) in [-1, 1]."""
    z_BL = jax.random.normal(key, (len(label_B), cfg.latent))
    return generated(state.extra.ema, state.extra.generator, z_BL, label_B, net)[0]


def networks(cfg: Config) -> Nets:
    """The networks D(x, label) -> (B,) and G(z, label) -> (B, Y, X, C) before the tanh."""
    shape, classes = cfg.data.shape, cfg.data.classes
    make_d, make_g = module_of(cfg.discriminator).net, module_of(cfg.generator).net
    return {
        "discriminator": make_d(cfg.discriminator, shape, (), classes),
        "generator": make_g(cfg.generator, (cfg.latent,), shape, classes),
    }


def system(cfg: Config, net: Nets | None = None, tx: Optimizers | None = None) -> System:
    """The game of the config; `net` and `tx` replace its networks and optimisers, by player."""
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
        extra = Extra(carried_d, carried_g, jax.tree.map(jnp.copy, g))
        return State(params, opt, extra, jnp.int32(0))

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
