"""Competitor: SAC in one file of PyTorch, in the style of CleanRL, on gymnasium's environments.

It uses one thread, which is fastest for networks of this size.
"""

from pathlib import Path

import gymnasium
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def _net(sizes: list[int]) -> nn.Sequential:
    layers = []
    for inputs, outputs in zip(sizes[:-1], sizes[1:], strict=True):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Actor(nn.Module):
    """Gaussian squashed by tanh and scaled to the bounds of the actions."""

    def __init__(self, views: int, actions: int, hidden: list[int], bound: float):
        super().__init__()
        self.net, self.bound = _net([views, *hidden, 2 * actions]), bound

    def forward(self, view):
        """A sample, and its log-probability as an action in (-1, 1)."""
        mean, log_std = self.net(view).chunk(2, -1)
        gaussian = torch.distributions.Normal(mean, log_std.clamp(-20, 2).exp())
        u = gaussian.rsample()
        log_prob = gaussian.log_prob(u) - 2 * (np.log(2) - u - F.softplus(-2 * u))
        return self.bound * torch.tanh(u), log_prob.sum(-1, keepdim=True)


class Replay:
    """Arrays of transitions, overwritten in a ring."""

    def __init__(self, capacity: int, views: int, actions: int):
        widths = (views, actions, 1, views, 1)
        self.arrays = [np.zeros((capacity, width), np.float32) for width in widths]
        self.head, self.filled, self.capacity = 0, 0, capacity

    def add(self, *rows):
        n = len(rows[0])
        index = (self.head + np.arange(n)) % self.capacity
        for array, row in zip(self.arrays, rows, strict=True):
            array[index] = row.reshape(n, array.shape[1])
        self.head, self.filled = (
            (self.head + n) % self.capacity,
            min(self.filled + n, self.capacity),
        )

    def sample(self, batch: int):
        index = np.random.randint(0, self.filled, batch)
        return [torch.as_tensor(array[index]) for array in self.arrays]


def training(setting: dict, folder: Path):
    """Training, one round of environment steps at a time, after the random steps."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    np.random.seed(0)
    N, gamma, tau = setting["n_envs"], setting["discount"], setting["polyak"]
    envs = gymnasium.make_vec(setting["environment"], num_envs=N, vectorization_mode="sync")
    views, actions = envs.single_observation_space.shape[0], envs.single_action_space.shape[0]
    actor = Actor(views, actions, setting["hidden"], float(envs.single_action_space.high[0]))
    sizes = [views + actions, *setting["hidden"], 1]
    critics, targets = ([_net(sizes), _net(sizes)] for _ in range(2))
    log_alpha = torch.zeros(1, requires_grad=True)
    critic_parameters = [p for q in critics for p in q.parameters()]
    target_parameters = [p for q in targets for p in q.parameters()]
    for target, p in zip(target_parameters, critic_parameters, strict=True):
        target.data.copy_(p.data)
    adams = [
        torch.optim.Adam(parameters, lr=setting["learning_rate"])
        for parameters in (critic_parameters, actor.parameters(), [log_alpha])
    ]
    replay = Replay(setting["capacity"], views, actions)
    observation, _ = envs.reset(seed=0)
    first, earned, returns = np.zeros(N, bool), np.zeros(N), []

    def step(action):
        nonlocal observation, first
        after, reward, terminated, truncated, _ = envs.step(action)
        real = ~first  # gymnasium resets an episode by a step of its own
        replay.add(
            *(x[real] for x in (observation, action, reward, after, terminated.astype(np.float32)))
        )
        first = terminated | truncated
        observation, earned[:] = after, earned + reward
        returns.extend(earned[first])
        earned[first] = 0

    def descend(adam, loss):
        adam.zero_grad()
        loss.backward()
        adam.step()

    def update():
        view, action, reward, next_view, terminated = replay.sample(setting["batch"])
        alpha = log_alpha.exp().detach()
        with torch.no_grad():
            next_action, log_prob = actor(next_view)
            x = torch.cat([next_view, next_action], 1)
            next_value = torch.min(*(q(x) for q in targets)) - alpha * log_prob
            y = reward + gamma * (1 - terminated) * next_value
        x = torch.cat([view, action], 1)
        descend(adams[0], sum(F.mse_loss(q(x), y) for q in critics))
        action, log_prob = actor(view)
        x = torch.cat([view, action], 1)
        descend(adams[1], (alpha * log_prob - torch.min(*(q(x) for q in critics))).mean())
        descend(adams[2], -(log_alpha.exp() * (log_prob.detach() - actions)).mean())
        with torch.no_grad():
            for target, p in zip(target_parameters, critic_parameters, strict=True):
                target.lerp_(p, tau)

    def act():
        with torch.no_grad():
            return actor(torch.as_tensor(observation, dtype=torch.float32))[0].numpy()

    for _ in range(-(-setting["random_steps"] // N)):
        step(envs.action_space.sample())
    facts = {"version": torch.__version__}

    def work():
        rounds = -(-setting["round"] // N)
        for _ in range(rounds):
            step(act())
            for _ in range(N):
                update()
        facts["return"] = float(np.mean(returns[-5:]))
        return rounds * N

    return facts, work
