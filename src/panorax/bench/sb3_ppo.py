"""Competitor: PPO of stable-baselines3, with the tuned hyper-parameters of its zoo for CartPole-v1.

It uses one thread, which is fastest for networks of this size.
"""

import time
from pathlib import Path

import numpy as np
import stable_baselines3
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

SOLVED, EVERY = 475.0, 4096


def _model(setting: dict, seed: int) -> PPO:
    torch.set_num_threads(1)
    return PPO(
        "MlpPolicy",
        make_vec_env("CartPole-v1", setting["n_envs"]),
        seed=seed,
        device="cpu",
        n_steps=setting["length"],
        batch_size=setting["n_envs"] * setting["length"] // setting["minibatches"],
        n_epochs=setting["epochs"],
        gamma=setting["discount"],
        gae_lambda=setting["lambda_"],
        ent_coef=setting["entropy_weight"],
        learning_rate=lambda share_left: share_left * setting["learning_rate"],
        clip_range=setting["clip"],
    )


def training(setting: dict, folder: Path):
    """Training by `PPO.learn`, one round at a time."""
    model, facts = _model(setting, 0), {"version": stable_baselines3.__version__}
    rollout = setting["n_envs"] * setting["length"]
    steps = -(-setting["round"] // rollout) * rollout

    def work():
        model.learn(steps, reset_num_timesteps=False)
        facts["return"] = float(np.mean([episode["r"] for episode in model.ep_info_buffer][-20:]))
        return steps

    return facts, work


class Solved(BaseCallback):
    """Stops training at a mean return of 475 over 20 episodes of the most probable action.

    `seconds` is the time that the evaluations took, `best` the highest mean return.
    """

    def __init__(self):
        super().__init__()
        self.envs, self.seconds, self.best = make_vec_env("CartPole-v1", 20, seed=1000), 0.0, 0.0

    def _on_step(self) -> bool:
        if self.num_timesteps % EVERY:
            return True
        started = time.perf_counter()
        observation, returns, running = self.envs.reset(), np.zeros(20), np.ones(20, bool)
        while running.any():
            observation, reward, done, _ = self.envs.step(
                self.model.predict(observation, deterministic=True)[0]
            )
            returns += reward * running
            running &= ~done
        self.best = max(self.best, float(returns.mean()))
        self.seconds += time.perf_counter() - started
        return self.best < SOLVED


def until_solved(setting: dict, folder: Path):
    """Trains until the task is solved, or for `total` steps."""
    solved = Solved()
    model = _model(setting, setting["seed"]).learn(setting["total"], callback=solved)
    facts = {
        "version": stable_baselines3.__version__,
        "return": solved.best,
        "steps": model.num_timesteps,
        "not_counted": solved.seconds,
    }
    return facts, lambda: 1
