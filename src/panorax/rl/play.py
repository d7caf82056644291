"""Episodes of a trained policy, to be looked at: pictures where views can be drawn, and text."""

from collections.abc import Callable

import jax
import numpy as np

from panorax.core import figures
from panorax.core.state import Episode, State
from panorax.rl.environments.environment import Environments
from panorax.rl.evaluation import shown_episodes
from panorax.rl.rollout import Trajectory

SHOWN = 4  # episodes
FRAMES = 12  # of the figure of an episode


def player(
    act_of: Callable, envs: Environments, empty_memory: Callable = lambda n: ()
) -> Callable[[State, jax.Array], list[Episode]]:
    """System.play: one episode in each of `envs` under the policy act_of(state), an `Act`."""

    def play(state: State, key: jax.Array) -> list[Episode]:
        show = lambda state, key: shown_episodes(act_of(state), envs, empty_memory(envs.n), key)
        trajectory = jax.device_get(jax.jit(show)(state, key))
        return [episode_of(trajectory, i, envs.picture) for i in range(envs.n)]

    return play


def episode_of(trajectory: Trajectory, i: int, picture: Callable | None) -> Episode:
    """The first episode of environment i."""
    ended = trajectory.terminated[:, i] | trajectory.truncated[:, i]
    length = int(np.argmax(ended)) + 1 if ended.any() else len(ended)
    action, reward = trajectory.action[:length, i], trajectory.earned[:length, i]
    views = [
        *trajectory.observation.view[:length, i],
        trajectory.next_observation.view[length - 1, i],
    ]
    lines = [
        f"step {t + 1}: action {np.round(action[t], 2)}, reward {reward[t]:g}"
        for t in range(length)
    ]
    how = "terminated" if trajectory.terminated[length - 1, i] else "cut off by its time limit"
    lines.append(f"{how} after {length} steps with a return of {reward.sum():g}")
    return Episode(lines, [picture(view) for view in views] if picture else None)


def draw_frames(episode: Episode):
    """A Figure of up to FRAMES pictures of an episode, evenly spaced in time."""
    steps = np.unique(np.linspace(0, len(episode.frames) - 1, FRAMES).round().astype(int))
    columns = min(6, len(steps))
    figure = figures.pictures([episode.frames[step] for step in steps], columns, size=1.3)
    for ax, step in zip(figure.axes, steps):
        ax.set_title(f"step {step}", fontsize=8)
    return figure
