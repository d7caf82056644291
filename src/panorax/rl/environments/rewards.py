"""Environments that show the last reward, for policies that count what they have earned."""

import dataclasses
import math

import jax.numpy as jnp

from panorax.rl.environments.environment import Environments


def observed_reward(envs: Environments) -> Environments:
    """Appends the last reward to the flattened view, 0 at the start of an episode.

    The view of `envs`, of V numbers, becomes (V + 1,); `without_reward` splits it again.
    """

    def joined(observation, reward_N):
        view = jnp.concatenate([observation.view.reshape(envs.n, -1), reward_N[:, None]], 1)
        return observation.replace(view=view)

    def reset(key):
        state, observation = envs.reset(key)
        return state, joined(observation, jnp.zeros(envs.n))

    def step(key, state, action_N):
        state, observation, after = envs.step(key, state, action_N)
        ended_N = after.terminated | after.truncated
        final = joined(after.observation, after.reward)
        observation = joined(observation, jnp.where(ended_N, 0, after.reward))
        return state, observation, after.replace(observation=final)

    picture = envs.picture and (lambda view: envs.picture(without_reward(view, envs.shape)[0]))
    return dataclasses.replace(
        envs, reset=reset, step=step, shape=(math.prod(envs.shape) + 1,), picture=picture
    )


def without_reward(view, shape: tuple[int, ...]):
    """The view (*batch, *shape) of the environment and the last reward (*batch,)."""
    return view[..., :-1].reshape(*view.shape[:-1], *shape), view[..., -1]
