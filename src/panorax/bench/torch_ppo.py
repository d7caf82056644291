"""Competitor: PPO in one file of PyTorch, in the style of CleanRL, on gymnasium's CartPole-v1.

It uses one thread, which is fastest for networks of this size. `sync` steps gymnasium's
environments one by one (SyncVectorEnv); `numpy_vector` steps gymnasium's vector CartPole.
"""

from pathlib import Path

import gymnasium
import numpy as np
import torch
from torch import nn
from torch.distributions import Categorical


def sync(setting: dict, folder: Path):
    """Training with environments stepped one by one."""
    return _training(setting, "sync")


def numpy_vector(setting: dict, folder: Path):
    """Training with environments stepped as arrays."""
    return _training(setting, "vector_entry_point")


def _layer(inputs: int, outputs: int, gain: float = 2**0.5) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


def _net(outputs: int, gain: float) -> nn.Sequential:
    return nn.Sequential(
        _layer(4, 64), nn.Tanh(), _layer(64, 64), nn.Tanh(), _layer(64, outputs, gain)
    )


def _training(setting: dict, mode: str):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    N, T, gamma = setting["n_envs"], setting["length"], setting["discount"]
    envs = gymnasium.make_vec("CartPole-v1", num_envs=N, vectorization_mode=mode)
    actor, critic = _net(2, 0.01), _net(1, 1.0)
    parameters = [*actor.parameters(), *critic.parameters()]
    adam = torch.optim.Adam(parameters, lr=setting["learning_rate"], eps=1e-5)
    observation, first = torch.as_tensor(envs.reset(seed=0)[0]), torch.zeros(N)
    earned, returns = np.zeros(N), []
    observations, actions = torch.zeros(T, N, 4), torch.zeros(T, N, dtype=torch.long)
    log_probs, values = torch.zeros(T, N), torch.zeros(T, N)
    rewards, firsts = torch.zeros(T, N), torch.zeros(T, N)
    updates, done = setting["total"] // (N * T), 0

    def collect():
        nonlocal observation, first
        for t in range(T):
            observations[t], firsts[t] = observation, first
            policy = Categorical(logits=actor(observation))
            actions[t] = policy.sample()
            log_probs[t], values[t] = policy.log_prob(actions[t]), critic(observation)[:, 0]
            after, reward, terminated, truncated, _ = envs.step(actions[t].numpy())
            ended = terminated | truncated
            rewards[t], observation = torch.as_tensor(reward), torch.as_tensor(after)
            first = torch.as_tensor(ended, dtype=torch.float32)
            earned[:] += reward
            returns.extend(earned[ended])
            earned[ended] = 0
        next_value, advantages, last = critic(observation)[:, 0], torch.zeros(T, N), 0.0
        for t in reversed(range(T)):
            continues = 1 - (first if t == T - 1 else firsts[t + 1])
            bootstrap = next_value if t == T - 1 else values[t + 1]
            delta = rewards[t] + gamma * bootstrap * continues - values[t]
            advantages[t] = last = delta + gamma * setting["lambda_"] * continues * last
        data = (observations, actions, log_probs, advantages, advantages + values)
        return [x.flatten(0, 1) for x in data]

    def learn(observation, action, old_log_prob, advantage, target):
        policy = Categorical(logits=actor(observation))
        ratio = (policy.log_prob(action) - old_log_prob).exp()
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        clipped = ratio.clamp(1 - setting["clip"], 1 + setting["clip"])
        policy_loss = -torch.min(advantage * ratio, advantage * clipped).mean()
        value_loss = (critic(observation)[:, 0] - target).square().mean()
        loss = policy_loss + 0.5 * value_loss - setting["entropy_weight"] * policy.entropy().mean()
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 0.5)
        adam.step()

    def iteration():
        nonlocal done
        adam.param_groups[0]["lr"] = setting["learning_rate"] * max(0.0, 1 - done / updates)
        done += 1
        with torch.no_grad():
            data = collect()
        for _ in range(setting["epochs"]):
            for rows in torch.randperm(N * T).chunk(setting["minibatches"]):
                learn(*(x[rows] for x in data))

    facts = {"version": torch.__version__}

    def work():
        iterations = max(1, setting["round"] // (N * T))
        for _ in range(iterations):
            iteration()
        facts["return"] = float(np.mean(returns[-20:]))
        return iterations * N * T

    return facts, work
