"""Generalised advantages by their definition and by stable-baselines3's rollout buffer.

The definition is a discounted sum of TD errors to the end of the episode. The buffer marks the
first step of an episode instead of the last, and has no time limits. As in its algorithms, the
value of a truncated state is added to the reward.
"""

import numpy as np
import torch
from case import Arrays, named, normal, settings
from gymnasium.spaces import Box, Discrete
from stable_baselines3.common.buffers import RolloutBuffer

SINGLE = {"atol": 1e-5}
"""the buffer computes in float32"""

GROUP = "rl"
PACKAGES = ("torch", "gymnasium", "stable-baselines3")
DISCOUNT, LAMBDA, T, N = 0.97, 0.9, 12, 3


def by_definition(reward, value, next_value, terminated, truncated) -> np.ndarray:
    """A_t = sum_{k >= t} (DISCOUNT LAMBDA)^(k - t) delta_k up to the end of the episode.

    delta_k is the TD error of step k.
    """
    advantage = np.zeros((T, N))
    for n in range(N):
        for t in range(T):
            for k in range(t, T):
                future = 0.0 if terminated[k, n] else next_value[k, n]
                delta = reward[k, n] + DISCOUNT * future - value[k, n]
                advantage[t, n] += (DISCOUNT * LAMBDA) ** (k - t) * delta
                if terminated[k, n] or truncated[k, n]:
                    break
    return advantage


def by_buffer(reward, value, next_value, terminated, truncated) -> np.ndarray:
    buffer = RolloutBuffer(
        T, Box(-1, 1, (1,)), Discrete(2), device="cpu", gae_lambda=LAMBDA, gamma=DISCOUNT, n_envs=N
    )
    done = terminated | truncated
    blank = np.zeros((N, 1), np.float32)
    for t in range(T):
        starts = done[t - 1] if t else np.ones(N, bool)
        bonus = np.where(truncated[t], DISCOUNT * next_value[t], 0)
        buffer.add(blank, blank, reward[t] + bonus, starts, torch.tensor(value[t]), torch.zeros(N))
    buffer.compute_returns_and_advantage(torch.tensor(next_value[-1]), done[-1])
    return buffer.advantages


def generate() -> Arrays:
    rng = np.random.RandomState(9)
    reward, value = normal(rng, T, N), normal(rng, T, N)
    terminated, truncated = np.zeros((T, N), bool), np.zeros((T, N), bool)
    terminated[[3, 7, 11], [0, 1, 1]] = True
    truncated[[2, 8, 5], [1, 0, 2]] = True
    # V(s') is the value of the next row, except after truncation and at the end of the rollout
    next_value = np.concatenate([value[1:], normal(rng, 1, N)])
    next_value = np.where(truncated, normal(rng, T, N), next_value)
    rollout = {
        "reward": reward,
        "value": value,
        "next_value": next_value,
        "terminated": terminated,
        "truncated": truncated,
    }
    advantage = by_definition(**rollout)
    if not np.allclose(advantage, by_buffer(**rollout), **SINGLE):
        raise ValueError("the two oracles of the advantages disagree")
    rates = settings(discount=DISCOUNT, lambda_=LAMBDA)
    return named("gae", {**rollout, **rates, "out": advantage})
