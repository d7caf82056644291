"""Competitor: SAC in one file of PyTorch, in the style of CleanRL, on gymnasium's environments.

It uses one thread, which is fastest for networks of this size.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from panorax.bench.rl.torch_parts import Experience, descend, network


class Actor(nn.Module):
    """Gaussian squashed by tanh and scaled to the bounds of the actions."""

    def __init__(self, views: int, actions: int, hidden: list[int], bound: float):
        super().__init__()
        self.net, self.bound = network([views, *hidden, 2 * actions]), bound

    def forward(self, view):
        """A sample, and its log-probability as an action in (-1, 1)."""
        mean, log_std = self.net(view).chunk(2, -1)
        gaussian = torch.distributions.Normal(mean, log_std.clamp(-20, 2).exp())
        u = gaussian.rsample()
        log_prob = gaussian.log_prob(u) - 2 * (np.log(2) - u - F.softplus(-2 * u))
        return self.bound * torch.tanh(u), log_prob.sum(-1, keepdim=True)


def training(setting: dict, folder: Path):
    """Training, one round of environment steps at a time, after the random steps."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    np.random.seed(0)
    N, gamma, tau = setting["n_envs"], setting["discount"], setting["polyak"]
    experience = Experience(setting["environment"], N, setting["capacity"])
    actions = experience.envs.single_action_space
    bound, (A,), (D,) = float(actions.high[0]), actions.shape, experience.observation.shape[1:]
    actor = Actor(D, A, setting["hidden"], bound)
    sizes = [D + A, *setting["hidden"], 1]
    critics, targets = ([network(sizes), network(sizes)] for _ in range(2))
    log_alpha = torch.zeros(1, requires_grad=True)
    critic_parameters = [p for q in critics for p in q.parameters()]
    target_parameters = [p for q in targets for p in q.parameters()]
    for target, p in zip(target_parameters, critic_parameters, strict=True):
        target.data.copy_(p.data)
    adams = [
        torch.optim.Adam(parameters, lr=setting["learning_rate"])
        for parameters in (critic_parameters, actor.parameters(), [log_alpha])
    ]

    def update():
        view, action, reward, next_view, terminated = experience.sample(setting["batch"])
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
        descend(adams[2], -(log_alpha.exp() * (log_prob.detach() - A)).mean())
        with torch.no_grad():
            for target, p in zip(target_parameters, critic_parameters, strict=True):
                target.lerp_(p, tau)

    def act():
        with torch.no_grad():
            return actor(torch.as_tensor(experience.observation, dtype=torch.float32))[0].numpy()

    experience.act_randomly(setting["random_steps"])
    facts = {"version": torch.__version__}

    def work():
        rounds = -(-setting["round"] // N)
        for _ in range(rounds):
            experience.step(act())
            for _ in range(N):
                update()
        facts["return"] = float(np.mean(experience.returns[-5:]))
        return rounds * N

    return facts, work
