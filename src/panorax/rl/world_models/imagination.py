"""Steps without observations: imagined by a policy, and predicted along given actions."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from panorax.nets.recurrent import rssm
from panorax.nets.recurrent.rssm import Latent
from panorax.ops.two_hot import symexp
from panorax.rl.replay.experience import Transition
from panorax.rl.world_models.world import World, action_vector, by_time, infer


class Imagined(NamedTuple):
    """Imagined steps, time first: features (H + 1, B, F), the others (H, B, ...)."""

    features: jax.Array
    """features of the start and of the H states after it"""
    action: jax.Array
    """action in each state but the last"""
    reward: jax.Array
    """predicted reward of the action"""
    continuation: jax.Array
    """probability that the episode goes on after the action"""


def imagine(world: World, params, start: Latent, act: Callable, key, horizon: int) -> Imagined:
    """`horizon` steps from states before an action, leaves (B, ...).

    act: act(features_BF, key) -> actions.
    """

    key_act, key_noise = jax.random.split(key)
    keys = jax.random.split(key_act, horizon)
    u = rssm.noise(key_noise, (horizon, *start.h.shape[:-1]), world.cfg)

    def step(latent, inputs):
        key, u = inputs
        action = act(latent.features, key)
        following = world.imagined(params, latent, action_vector(world.space, action), u)
        return following, (following.features, action)

    _, (features, action) = jax.lax.scan(step, start, (keys, u))
    return Imagined(
        features=jnp.concatenate([start.features[None], features]),
        action=action,
        reward=world.mean(params["reward"], features),
        continuation=jax.nn.sigmoid(world.head(params["continuation"], features)[..., 0]),
    )


def open_loop(world: World, params, rows: Transition, seen: int, key) -> jax.Array:
    """Predicted views after each row, (B, T, *shape), along the actions of the rows.

    The states of the first `seen` rows are inferred, the others are imagined. All rows of a
    sequence belong to one episode.
    """
    key_infer, key_imagine = jax.random.split(key)
    context = jax.tree.map(lambda x: x[:, :seen], rows)
    arrivals = jax.tree.map(lambda x: x[:, 1:], infer(world, params, context, key_infer).predicting)
    action = action_vector(world.space, rows.action[:, seen:])

    def step(latent, inputs):
        latent = world.imagined(params, latent, *inputs)
        return latent, latent.features

    last = jax.tree.map(lambda x: x[:, -1], arrivals)
    u = rssm.noise(key_imagine, action.shape[:2], world.cfg)
    _, ahead = jax.lax.scan(step, last, by_time((action, u)))
    features = jnp.concatenate([arrivals.features, by_time(ahead)], 1)
    view = world.head(params["view"], features)
    view = jax.nn.sigmoid(view) if world.is_image else symexp(view)
    return view.reshape(*features.shape[:2], *world.shape)
