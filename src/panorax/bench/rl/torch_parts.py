"""Parts of the PyTorch competitors: a network, and experience of gymnasium's environments."""

import gymnasium
import numpy as np
import torch
from torch import nn


def network(sizes: list[int]) -> nn.Sequential:
    """Layers of these sizes with ReLU between them."""
    layers = []
    for inputs, outputs in zip(sizes[:-1], sizes[1:], strict=True):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def descend(adam: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    """One step of `adam` down the gradient of `loss`."""
    adam.zero_grad()
    loss.backward()
    adam.step()


class Experience:
    """Environments, and the replay of their transitions: arrays that are overwritten in a ring."""

    def __init__(self, name: str, n_envs: int, capacity: int):
        self.envs = gymnasium.make_vec(name, num_envs=n_envs, vectorization_mode="sync")
        self.observation, _ = self.envs.reset(seed=0)
        self.first, self.earned, self.returns = np.zeros(n_envs, bool), np.zeros(n_envs), []
        action = self.envs.action_space.sample().reshape(n_envs, -1)
        view = (self.observation.shape[1], np.float32)
        rows = (view, (action.shape[1], action.dtype), (1, np.float32), view, (1, np.float32))
        self.arrays = [np.zeros((capacity, width), dtype) for width, dtype in rows]
        self.head, self.filled, self.capacity = 0, 0, capacity

    def act_randomly(self, steps: int) -> None:
        """Adds `steps` steps with random actions."""
        for _ in range(-(-steps // len(self.first))):
            self.step(self.envs.action_space.sample())

    def step(self, action: np.ndarray) -> None:
        """Steps all environments, and adds the transitions."""
        after, reward, terminated, truncated, _ = self.envs.step(action)
        real = ~self.first  # gymnasium resets an episode by a step of its own
        rows = (self.observation, action, reward, after, terminated)
        n = real.sum()
        index = (self.head + np.arange(n)) % self.capacity
        for array, row in zip(self.arrays, rows, strict=True):
            array[index] = row[real].reshape(n, array.shape[1])
        self.head = (self.head + n) % self.capacity
        self.filled = min(self.filled + n, self.capacity)
        self.first = terminated | truncated
        self.observation, self.earned = after, self.earned + reward
        self.returns.extend(self.earned[self.first])
        self.earned[self.first] = 0

    def sample(self, batch: int) -> list[torch.Tensor]:
        """Views, actions, rewards, next views and terminations of random transitions."""
        index = np.random.randint(0, self.filled, batch)
        return [torch.as_tensor(array[index]) for array in self.arrays]
