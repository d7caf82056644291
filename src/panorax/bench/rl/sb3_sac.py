"""Competitor: SAC of stable-baselines3, with one thread, which is fastest for small networks."""

from pathlib import Path

import numpy as np
import stable_baselines3
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.env_util import make_vec_env


def training(setting: dict, folder: Path):
    """Training by `SAC.learn`, one round at a time, after the random steps."""
    torch.set_num_threads(1)
    model = SAC(
        "MlpPolicy",
        make_vec_env(setting["environment"], setting["n_envs"]),
        seed=0,
        device="cpu",
        policy_kwargs={"net_arch": list(setting["hidden"])},
        batch_size=setting["batch"],
        buffer_size=setting["capacity"],
        learning_starts=setting["random_steps"],
        train_freq=1,
        gradient_steps=setting["n_envs"],
        learning_rate=setting["learning_rate"],
        gamma=setting["discount"],
        tau=setting["polyak"],
    )
    model.learn(setting["random_steps"])
    facts = {"version": stable_baselines3.__version__}

    def work():
        before = model.num_timesteps
        model.learn(setting["round"], reset_num_timesteps=False)
        facts["return"] = float(np.mean([episode["r"] for episode in model.ep_info_buffer][-5:]))
        return model.num_timesteps - before

    return facts, work
