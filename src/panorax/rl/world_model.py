"""The world model of DreamerV3: infers latent states from observations, and imagines from them.

A sequence holds steps (x_t, a_t, r_t, x'_t): the observation, the action, the reward, and the
observation that followed. The state s_t stands for x_t, and the arrival s'_t for x'_t. Inside an
episode s_t is the arrival of the step before; where an episode or the sequence begins, h is 0 and z
is inferred from x_t alone. The arrival predicts x'_t, r_t and whether the episode goes on, so that
the final observation of an episode counts although the next step belongs to another.
Source: Hafner et al. 2023, arXiv:2301.04104, equations 1 to 5.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from panorax.core import struct
from panorax.nets.mlp import dense, dense_spec, fan_in
from panorax.nets.recurrent import rssm
from panorax.nets.recurrent.rssm import Latent
from panorax.ops.losses import binary_cross_entropy
from panorax.ops.two_hot import expectation, symexp, symlog, two_hot
from panorax.rl.environments.environment import Box, Discrete, Space
from panorax.rl.torsos.torso import Torso

BINS = 255  # of reward and value


@struct.dataclass
class Steps:
    """Steps of an environment; all leaves have the same leading axes."""

    view: jax.Array
    """observation before the action"""
    first: jax.Array
    """true if the observation starts an episode"""
    action: jax.Array
    """action"""
    reward: jax.Array
    """reward of the action"""
    terminated: jax.Array
    """true if the action led to a terminal state"""
    next_view: jax.Array
    """observation after the action"""


@dataclass(frozen=True)
class World:
    """The networks of the model for one observation shape and action space."""

    cfg: rssm.Config
    space: Space
    shape: tuple[int, ...]
    encoder: Torso
    """of views"""
    heads: Callable[[], Torso]
    """a torso over the features of a latent state, of which each head has its own"""

    @property
    def spec(self) -> Any:
        """Parameters, a tree of P."""
        decoder = self.heads()
        head = lambda outputs, gain: {
            "torso": decoder.spec,
            "out": dense_spec(decoder.width, outputs, fan_in(gain)),
        }
        return {
            "encoder": self.encoder.spec,
            "rssm": rssm.spec(self.cfg, width_of(self.space), self.encoder.width),
            "view": head(math.prod(self.shape), 1.0),
            "reward": head(BINS, 0.0),
            "goes_on": head(1, 1.0),
        }

    def encode(self, params, view):
        """Embedding of views; views that are no images are compressed by symlog first."""
        return self.encoder.apply(params["encoder"], view if len(self.shape) == 3 else symlog(view))

    def head(self, params, name: str, features):
        """Output of the head `name` for features (*batch, F)."""
        return dense(params[name]["out"], self.heads().apply(params[name]["torso"], features))


class Inferred(NamedTuple):
    """Arrivals of sequences (B, T) and the distributions of their variables."""

    latent: Latent
    log_prior: jax.Array
    log_posterior: jax.Array


class Imagined(NamedTuple):
    """Imagined steps, time first: features (H + 1, B, F), the others (H, B, ...)."""

    features: jax.Array
    action: jax.Array
    reward: jax.Array
    goes_on: jax.Array
    """probability that the episode goes on after the step"""


def width_of(space: Space) -> int:
    """Length of the vector of an action."""
    return len(space.low) if isinstance(space, Box) else space.n


def vector_of(space: Space, action: jax.Array) -> jax.Array:
    """An action as the model reads it: one-hot, or a vector clipped to [-1, 1]."""
    if isinstance(space, Discrete):
        return jax.nn.one_hot(action, space.n)
    return jnp.clip(action, -1, 1)


def bins() -> jax.Array:
    """Values of the bins of reward and value, symexp of -20 .. 20, exactly symmetric."""
    positive = symexp(jnp.linspace(20, 0, BINS // 2 + 1)[:-1])
    return jnp.concatenate([-positive, jnp.zeros(1), positive[::-1]])


def opened(world: World, params, view, key) -> Latent:
    """The states of views that start an episode."""
    start = rssm.empty(world.cfg, view.shape[: view.ndim - len(world.shape)])
    log_p = rssm.posterior(params["rssm"], start.h, world.encode(params, view), world.cfg)
    return Latent(start.h, rssm.sample(log_p, key))


def infer(world: World, params, steps: Steps, key) -> Inferred:
    """The arrivals of sequences, leaves (B, T, ...), each sampled from its posterior."""
    key_open, key_steps = jax.random.split(key)
    p, cfg = params["rssm"], world.cfg
    opening = opened(world, params, steps.view, key_open)
    first = steps.first.at[:, 0].set(True)
    inputs = (
        opening,
        first,
        vector_of(world.space, steps.action),
        world.encode(params, steps.next_view),
    )

    def step(latent, inputs):
        (opening, first, action, embedding), key = inputs
        latent = jax.tree.map(
            lambda new, old: jnp.where(first.reshape(-1, *(1,) * (new.ndim - 1)), new, old),
            opening,
            latent,
        )
        h = rssm.advance(p, latent, action, cfg)
        log_posterior = rssm.posterior(p, h, embedding, cfg)
        latent = Latent(h, rssm.sample(log_posterior, key))
        return latent, (latent, log_posterior)

    by_time = lambda tree: jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), tree)
    B, T = first.shape
    keys = jax.random.split(key_steps, T)
    _, along = jax.lax.scan(step, rssm.empty(cfg, (B,)), (by_time(inputs), keys))
    latent, log_posterior = by_time(along)
    return Inferred(latent, rssm.prior(p, latent.h, cfg), log_posterior)


def losses(world: World, params, steps: Steps, inferred: Inferred, free: float) -> dict:
    """Mean losses in nats: of the view, the reward, the continuation, and both sides of the KL.

    dynamics pulls the prior to the posterior, representation the posterior to the prior; below
    `free` nats neither has a gradient.
    """
    features = inferred.latent.features
    flat = lambda x: x.reshape(*steps.first.shape, -1)
    view, target = world.head(params, "view", features), flat(steps.next_view)
    if len(world.shape) == 3:
        view_loss = jnp.sum(binary_cross_entropy(view, target), -1)
    else:
        view_loss = jnp.sum(jnp.square(view - symlog(target)), -1) / 2
    reward = categorical_loss(world.head(params, "reward", features), steps.reward)
    goes_on = world.head(params, "goes_on", features)[..., 0]
    log_p, log_q = inferred.log_prior, inferred.log_posterior
    fixed = jax.lax.stop_gradient
    terms = {
        "view": view_loss,
        "reward": reward,
        "goes_on": binary_cross_entropy(goes_on, 1.0 - steps.terminated),
        "dynamics": jnp.maximum(rssm.divergence(fixed(log_q), log_p), free),
        "representation": jnp.maximum(rssm.divergence(log_q, fixed(log_p)), free),
    }
    return {name: jnp.mean(term) for name, term in terms.items()}


def categorical_loss(logits: jax.Array, value: jax.Array) -> jax.Array:
    """Cross entropy of the two-hot distribution of `value` over the bins."""
    return -jnp.sum(two_hot(value, bins()) * jax.nn.log_softmax(logits.astype(jnp.float32)), -1)


def imagine(world: World, params, latent: Latent, act: Callable, key, horizon: int) -> Imagined:
    """`horizon` steps from latent states (B, ...) without observations.

    act(features, key) -> actions.
    """
    p, cfg = params["rssm"], world.cfg

    def step(latent, key):
        key_act, key_next = jax.random.split(key)
        action = act(latent.features, key_act)
        h = rssm.advance(p, latent, vector_of(world.space, action), cfg)
        following = Latent(h, rssm.sample(rssm.prior(p, h, cfg), key_next))
        return following, (following.features, action)

    _, (features, action) = jax.lax.scan(step, latent, jax.random.split(key, horizon))
    return Imagined(
        features=jnp.concatenate([latent.features[None], features]),
        action=action,
        reward=expectation(world.head(params, "reward", features), bins()),
        goes_on=jax.nn.sigmoid(world.head(params, "goes_on", features)[..., 0]),
    )


def predicted_views(world: World, params, steps: Steps, seen: int, key) -> jax.Array:
    """Views after each step, (B, T, *shape): the first `seen` inferred, the others imagined.

    Imagined steps take the actions of `steps`: an open-loop prediction. The sequences lie within an
    episode.
    """
    key_infer, key_imagine = jax.random.split(key)
    context = jax.tree.map(lambda x: x[:, :seen], steps)
    latents = infer(world, params, context, key_infer).latent
    action = vector_of(world.space, steps.action[:, seen:])
    keys = jax.random.split(key_imagine, action.shape[1])

    def step(latent, inputs):
        action, key = inputs
        h = rssm.advance(params["rssm"], latent, action, world.cfg)
        latent = Latent(h, rssm.sample(rssm.prior(params["rssm"], h, world.cfg), key))
        return latent, latent.features

    last = jax.tree.map(lambda x: x[:, -1], latents)
    _, ahead = jax.lax.scan(step, last, (jnp.swapaxes(action, 0, 1), keys))
    features = jnp.concatenate([latents.features, jnp.swapaxes(ahead, 0, 1)], 1)
    view = world.head(params, "view", features)
    view = jax.nn.sigmoid(view) if len(world.shape) == 3 else symexp(view)
    return view.reshape(*features.shape[:2], *world.shape)
