"""The Decision Transformer's network: a causal Transformer over returns-to-go, views and actions.

A window of K steps is a sequence of 3 K tokens,

    R_1, s_1, a_1, R_2, s_2, a_2, .., R_K, s_K, a_K

embedded by a linear map of R / scale, a linear map of the view and a table of actions, each plus an
embedding of its time step in the episode. The output at the token s_k predicts a_k: it sees the
steps before k, R_k and s_k. The Transformer is a decoder of `panorax.nets.decoders` whose
vocabulary is the set of actions, so its embedding and its output layer are those of actions. Unlike
the GPT-2 of the paper it also rotates queries and keys by their position in the sequence.
Source: Chen et al. 2021, arXiv:2106.01345, section 3.
"""

import math

import jax
import jax.numpy as jnp

from panorax.core import struct
from panorax.core.net import Net, stateless
from panorax.core.spec import P
from panorax.nets.decoders import decoder, llama
from panorax.nets.mlp import dense, dense_spec, fan_in
from panorax.rl.environments.rewards import without_reward
from panorax.rl.environments.wrappers import select
from panorax.rl.rollout import Act


def sequence_model(model: llama.Model, shape: tuple[int, ...], steps: int, scale: float) -> Net:
    """The network for views of `shape`; apply(params, (), window) -> logits (B, K, A), ().

    model: the Transformer, whose `vocab` is the number of actions A.
    steps: largest number of steps of an episode.  scale: unit of returns-to-go.
    """
    D = model.d_model
    spec = {
        "decoder": llama.spec(model),
        "return_to_go": dense_spec(1, D, fan_in(1.0)),
        "view": dense_spec(math.prod(shape), D, fan_in(1.0)),
        "timestep": P((steps, D), ("steps", "embed"), jax.nn.initializers.normal(0.02)),
    }

    def tokens(params, window):
        B, K = window["action"].shape
        returns_BKD = dense(params["return_to_go"], window["return_to_go"][..., None] / scale)
        views_BKD = dense(params["view"], window["view"].reshape(B, K, -1))
        actions_BKD = params["decoder"]["embed"][window["action"]]
        x_BK3D = jnp.stack([returns_BKD, views_BKD, actions_BKD], 2)
        x_BK3D = x_BK3D + params["timestep"][window["timestep"]][:, :, None]
        return x_BK3D.reshape(B, 3 * K, D)

    def apply(params, window):
        x_BTD = tokens(params, window)
        B, T, _ = x_BTD.shape
        mask_BS = jnp.repeat(window["mask"], 3, 1)
        mask_BTS = jnp.broadcast_to(mask_BS[:, None, :], (B, T, T))
        outputs = decoder.unembedding(params["decoder"], x_BTD, model, mask_BTS=mask_BTS)
        return outputs.replace(x=outputs.x[:, 1::3]).logits()

    return stateless(spec, apply)


@struct.dataclass
class Memory:
    """What the policy remembers of N running episodes."""

    window: dict[str, jax.Array]
    """the last K steps, the newest last; arrays (N, K, ...) as of `trajectories.windows`"""
    target: jax.Array
    """return asked of every episode, float32 (N,)"""


def memory(target_N: jax.Array, shape: tuple[int, ...], K: int) -> Memory:
    """The memory of environments at the start of an episode that is to return `target_N`."""
    empty = lambda dtype, *axes: jnp.zeros((len(target_N), K, *axes), dtype)
    window = {
        "view": empty(jnp.float32, *shape),
        "action": empty(jnp.int32),
        "return_to_go": empty(jnp.float32),
        "timestep": empty(jnp.int32),
        "mask": empty(bool),
    }
    return Memory(window, jnp.asarray(target_N, jnp.float32))


def conditioned(params, net: Net, shape: tuple[int, ...]) -> Act:
    """The policy that acts for the return-to-go: the target minus the rewards of the episode.

    Its environments show the last reward (`environments.rewards`). Each step enters the window with
    the action 0, which the prediction of the action does not see, and the prediction replaces it.
    """

    def act(memory: Memory, observation, first_N, key):
        view, reward_N = without_reward(observation.view, shape)
        window = select(first_N, jax.tree.map(jnp.zeros_like, memory.window), memory.window)
        newest = {
            "view": view,
            "action": jnp.zeros(len(first_N), jnp.int32),
            "return_to_go": jnp.where(
                first_N, memory.target, window["return_to_go"][:, -1] - reward_N
            ),
            "timestep": jnp.where(first_N, 0, window["timestep"][:, -1] + 1),
            "mask": jnp.ones(len(first_N), bool),
        }
        shifted = lambda old, new: jnp.concatenate([old[:, 1:], new[:, None]], 1)
        window = jax.tree.map(shifted, window, newest)
        logits_NKA, _ = net.apply(params, (), window)
        action_N = jnp.argmax(logits_NKA[:, -1], -1).astype(jnp.int32)
        window = window | {"action": window["action"].at[:, -1].set(action_N)}
        return memory.replace(window=window), action_N

    return act
