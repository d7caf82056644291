"""Filmstrips: frames of an episode of a policy, at evenly spaced steps."""

from typing import Any

import jax
import numpy as np

from panorax.core import figures
from panorax.rl.environments.environment import Environments
from panorax.rl.evaluation import shown_episodes
from panorax.rl.rollout import Act

FRAMES = 12


def filmstrip(act: Act, envs: Environments, memory, key: jax.Array) -> dict[str, Any]:
    """The figure `episode.png` of an episode of one environment, `{}` if it cannot be drawn."""
    if envs.picture is None:
        return {}
    run = jax.jit(lambda key: shown_episodes(act, envs, memory, key))
    trajectory = jax.device_get(run(key))
    ended = (trajectory.terminated | trajectory.truncated)[:, 0]
    steps = np.unique(np.linspace(0, np.argmax(ended), FRAMES).round().astype(int))
    views = trajectory.observation.view[steps, 0]
    return {"episode.png": draw_frames(np.stack([*map(envs.picture, views)]), steps)}


def draw_frames(images: np.ndarray, steps: np.ndarray):
    """Images (FRAMES, Y, X, 3) in rows, each with its step as the title."""
    figure = figures.pictures(images, columns=6, size=1.1)
    for ax, step in zip(figure.axes, steps, strict=False):
        ax.set_title(f"step {step}", fontsize=8)
    return figure
