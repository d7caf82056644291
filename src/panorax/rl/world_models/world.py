"""The world model of DreamerV3: infers latent states from observations, and predicts from them.

A row of the replay is a step of an environment: x_t, the action a_t, the reward r_t, and the
observation x'_t after the action, which may end the episode. The model has two states per row:

    s_t  = opening(x_t)                      if t = 0 or the row before ended its episode
    s_t  = s'_{t-1}                          otherwise
    s'_t = (h', z'),  h' = f(s_t, a_t),  z' ~ q(z | h', x'_t)

s_t is the state before the action: the policy acts on it, and imagination starts from it. The
arrival s'_t predicts x'_t, r_t and the end of the episode. The last arrival of an episode is
trained and never acts; a state before an action is never terminal. An opening has h = 0, and z is
inferred from the view alone. The losses cover the opening of each sequence, which trains all
openings, and its T arrivals.

The original stores final observations as rows of their own and starts an episode from f(0, 0, 0).
Source: Hafner et al. 2023, arXiv:2301.04104, equations 1 to 5.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from panorax.nets.mlp import dense, dense_spec, fan_in
from panorax.nets.recurrent import rssm
from panorax.nets.recurrent.rssm import Latent
from panorax.ops.losses import binary_cross_entropy
from panorax.ops.two_hot import expectation, symexp, symlog, two_hot
from panorax.rl.environments.environment import Box, Discrete, Space
from panorax.rl.replay.experience import Transition
from panorax.rl.torsos.torso import Torso


@dataclass(frozen=True)
class World:
    """The networks of the model for one observation shape and action space."""

    cfg: rssm.Config
    space: Space
    shape: tuple[int, ...]
    encoder: Torso
    """network from views to embeddings"""
    heads: Callable[[], Torso]
    """heads() -> a torso over the features of a latent state; every head has its own"""
    bins: int
    """number of bins of rewards and values"""

    @property
    def spec(self) -> Any:
        """Parameters, a tree of P."""
        return {
            "encoder": self.encoder.spec,
            "rssm": rssm.spec(self.cfg, action_width(self.space), self.encoder.width),
            "view": self.head_spec(math.prod(self.shape), 1.0),
            "reward": self.head_spec(self.bins, 0.0),
            "continuation": self.head_spec(1, 1.0),
        }

    def head_spec(self, outputs: int, gain: float) -> Any:
        """Parameters of a head; a gain of 0 makes all outputs 0 at first."""
        torso = self.heads()
        return {"torso": torso.spec, "out": dense_spec(torso.width, outputs, fan_in(gain))}

    def head(self, params, features) -> jax.Array:
        """Outputs of a head with these parameters for features (*batch, F)."""
        return dense(params["out"], self.heads().apply(params["torso"], features))

    def mean(self, params, features) -> jax.Array:
        """Mean of a head over the bins, (*batch,)."""
        return expectation(self.head(params, features), bins(self.bins))

    @property
    def is_image(self) -> bool:
        """Whether views are images (Y, X, C) of pixels in [0, 1]; others pass through symlog."""
        return len(self.shape) == 3

    def encode(self, params, view) -> jax.Array:
        """Embedding of views (*batch, *shape)."""
        view = view.astype(jnp.float32)
        return self.encoder.apply(params["encoder"], view if self.is_image else symlog(view))

    def opening(self, params, embedding, u) -> tuple[Latent, jax.Array]:
        """The state of a view without a past, and the log probabilities of its variables.

        u: the noise of `rssm.one_hot_sample`, here and below.
        """
        return self.inferred(params, rssm.empty(self.cfg, embedding.shape[:-1]).h, embedding, u)

    def arrival(self, params, latent: Latent, action, embedding, u) -> tuple[Latent, jax.Array]:
        """The state after an action vector, as `opening`, inferred from the view that follows."""
        h = rssm.advance(params["rssm"], latent, action, self.cfg)
        return self.inferred(params, h, embedding, u)

    def inferred(self, params, h, embedding, u) -> tuple[Latent, jax.Array]:
        """A state with z sampled from the posterior, and the posterior's log probabilities."""
        log_q = rssm.posterior(params["rssm"], h, embedding, self.cfg)
        return Latent(h, rssm.one_hot_sample(log_q, u)), log_q

    def imagined(self, params, latent: Latent, action, u) -> Latent:
        """The state after an action vector, sampled from the prior."""
        h = rssm.advance(params["rssm"], latent, action, self.cfg)
        return Latent(h, rssm.one_hot_sample(rssm.prior(params["rssm"], h, self.cfg), u))


class Inferred(NamedTuple):
    """States of sequences of T rows."""

    before: Latent
    """states before the actions, (B, T, ...)"""
    predicting: Latent
    """opening of the sequence and the T arrivals, (B, T + 1, ...)"""
    log_posterior: jax.Array
    """log probabilities of the variables of `predicting`, (B, T + 1, S, C)"""


def action_width(space: Space) -> int:
    """Length of the vector of an action."""
    return len(space.low) if isinstance(space, Box) else space.n


def action_vector(space: Space, action: jax.Array) -> jax.Array:
    """An action as the model reads it: one-hot, or a vector clipped to [-1, 1]."""
    if isinstance(space, Discrete):
        return jax.nn.one_hot(action, space.n)
    return jnp.clip(action, -1, 1)


def bins(n: int) -> jax.Array:
    """`n` bins of rewards and values: symexp of -20 .. 20, exactly symmetric; n is odd."""
    positive = symexp(jnp.linspace(20, 0, n // 2 + 1)[:-1])
    return jnp.concatenate([-positive, jnp.zeros(1), positive[::-1]])


def infer(world: World, params, rows: Transition, key) -> Inferred:
    """The states of sequences of rows, leaves (B, T, ...), sampled from their posteriors."""
    ended = rows.terminated | rows.truncated
    u = rssm.noise(key, (2, *ended.shape), world.cfg)
    views = jnp.concatenate([rows.observation.view, rows.next_observation.view], 1)
    acting, arriving = jnp.split(world.encode(params, views), 2, 1)
    openings = world.opening(params, acting, u[0])
    first = jnp.concatenate([jnp.ones_like(ended[:, :1]), ended[:, :-1]], 1)

    def step(latent, inputs):
        opening, first, action, embedding, u = inputs
        before = chosen(first, opening, latent)
        latent, log_q = world.arrival(params, before, action, embedding, u)
        return latent, (before, (latent, log_q))

    action = action_vector(world.space, rows.action)
    inputs = by_time((openings[0], first, action, arriving, u[1]))
    empty = rssm.empty(world.cfg, first.shape[:1])
    before, arrivals = by_time(jax.lax.scan(step, empty, inputs)[1])
    return Inferred(before, *jax.tree.map(with_opening, openings, arrivals))


def with_opening(opening_BT: jax.Array, arrival_BT: jax.Array) -> jax.Array:
    """The first of the values at openings, then the values at T arrivals: (B, T + 1, ...)."""
    return jnp.concatenate([opening_BT[:, :1], arrival_BT], 1)


def by_time(tree):
    """Leaves (B, T, ...) as (T, B, ...), and the reverse."""
    return jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), tree)


def chosen(condition: jax.Array, then: Latent, otherwise: Latent) -> Latent:
    """`then` if the condition (*batch,) is true, else `otherwise`."""
    h, z = condition[..., None], condition[..., None, None]
    return Latent(jnp.where(h, then.h, otherwise.h), jnp.where(z, then.z, otherwise.z))


def losses(world: World, params, rows: Transition, states: Inferred, free: float) -> dict:
    """Mean losses in nats: of the view, the reward, the continuation, and both sides of the KL.

    dynamics_loss pulls the prior to the posterior, representation_loss the posterior to the prior;
    below `free` nats neither has a gradient.
    """
    features = states.predicting.features
    target = with_opening(rows.observation.view, rows.next_observation.view).astype(jnp.float32)
    target = target.reshape(*features.shape[:2], -1)
    view = world.head(params["view"], features)
    if world.is_image:
        view_loss = jnp.sum(binary_cross_entropy(view, target), -1)
    else:
        view_loss = jnp.sum(jnp.square(view - symlog(target)), -1) / 2
    continues = world.head(params["continuation"], features)[..., 0]
    terminated = with_opening(jnp.zeros_like(rows.terminated), rows.terminated)
    log_p, log_q = rssm.prior(params["rssm"], states.predicting.h, world.cfg), states.log_posterior
    fixed = jax.lax.stop_gradient
    terms = {
        "view_loss": view_loss,
        "reward_loss": two_hot_loss(world.head(params["reward"], features[:, 1:]), rows.reward),
        "continuation_loss": binary_cross_entropy(continues, 1.0 - terminated),
        "dynamics_loss": jnp.maximum(rssm.divergence(fixed(log_q), log_p), free),
        "representation_loss": jnp.maximum(rssm.divergence(log_q, fixed(log_p)), free),
    }
    return {name: jnp.mean(term) for name, term in terms.items()}


def two_hot_loss(logits: jax.Array, value: jax.Array) -> jax.Array:
    """Cross entropy of the two-hot distribution of `value` over the bins."""
    target = two_hot(value, bins(logits.shape[-1]))
    return -jnp.sum(target * jax.nn.log_softmax(logits.astype(jnp.float32)), -1)
