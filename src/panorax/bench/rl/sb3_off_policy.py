"""Competitor: stable-baselines3, with one thread, which is fastest for small networks."""

from pathlib import Path

import numpy as np
import stable_baselines3
import torch
from stable_baselines3 import DQN, SAC
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm


def sac_training(setting: dict, folder: Path):
    """Training by `SAC.learn`, one round at a time, after the random steps."""
    options = {
        "train_freq": 1,
        "gradient_steps": setting["n_envs"],
        "tau": setting["polyak"],
    }
    return training_of(SAC, setting["n_envs"], setting, options)


def dqn_training(setting: dict, folder: Path):
    """Training by `DQN.learn`, one round at a time, after the random steps."""
    options = {
        "train_freq": setting["every"],
        "gradient_steps": 1,
        "target_update_interval": setting["target_every"] * setting["every"],
        "exploration_initial_eps": setting["epsilon"],
        "exploration_final_eps": setting["epsilon"],
    }
    return training_of(DQN, 1, setting, options)


def training_of(method: type[OffPolicyAlgorithm], n_envs: int, setting: dict, options: dict):
    """Facts and work of a method with these options beside the common ones."""
    torch.set_num_threads(1)
    model = method(
        "MlpPolicy",
        make_vec_env(setting["environment"], n_envs),
        seed=0,
        device="cpu",
        policy_kwargs={"net_arch": list(setting["hidden"])},
        batch_size=setting["batch"],
        buffer_size=setting["capacity"],
        learning_starts=setting["random_steps"],
        learning_rate=setting["learning_rate"],
        gamma=setting["discount"],
        **options,
    )
    model.learn(setting["random_steps"])
    facts = {"version": stable_baselines3.__version__}

    def work():
        before = model.num_timesteps
        model.learn(setting["round"], reset_num_timesteps=False)
        facts["return"] = float(np.mean([episode["r"] for episode in model.ep_info_buffer][-5:]))
        return model.num_timesteps - before

    return facts, work
