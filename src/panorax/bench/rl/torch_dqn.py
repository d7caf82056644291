"""Competitor: DQN in PyTorch, in the style of CleanRL, on gymnasium's environments.

It uses one thread, which is fastest for networks of this size.
"""

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from panorax.bench.rl.torch_parts import Experience, descend, network


def training(setting: dict, folder: Path):
    """Training, one round of environment steps at a time, after the random steps."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    np.random.seed(0)
    experience = Experience(setting["environment"], 1, setting["capacity"])
    actions = experience.envs.single_action_space.n
    sizes = [experience.observation.shape[1], *setting["hidden"], actions]
    q, target = network(sizes), network(sizes)
    target.load_state_dict(q.state_dict())
    adam = torch.optim.Adam(q.parameters(), lr=setting["learning_rate"])
    updates = 0

    def update():
        nonlocal updates
        view, action, reward, next_view, terminated = experience.sample(setting["batch"])
        with torch.no_grad():
            best = target(next_view).max(1, keepdim=True).values
            y = reward + setting["discount"] * (1 - terminated) * best
        descend(adam, F.mse_loss(q(view).gather(1, action), y))
        updates += 1
        if updates % setting["target_every"] == 0:
            target.load_state_dict(q.state_dict())

    def act():
        if np.random.random() < setting["epsilon"]:
            return np.random.randint(actions, size=1)
        with torch.no_grad():
            return q(torch.as_tensor(experience.observation)).argmax(1).numpy()

    experience.act_randomly(setting["random_steps"])
    facts = {"version": torch.__version__}

    def work():
        rounds = -(-setting["round"] // setting["every"])
        for _ in range(rounds):
            for _ in range(setting["every"]):
                experience.step(act())
            update()
        facts["return"] = float(np.mean(experience.returns[-5:]))
        return rounds * setting["every"]

    return facts, work
