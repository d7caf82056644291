"""The report of an agent with a world model: open-loop predictions, and training without turns."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from panorax.core import figures
from panorax.core.config import Run
from panorax.core.state import Result, State, System
from panorax.core.study import joined
from panorax.ops.losses import weighted_mean
from panorax.rl import seeds as training
from panorax.rl.environments.environment import Environments
from panorax.rl.evaluation import shown_episodes
from panorax.rl.replay.experience import transitions
from panorax.rl.rivals import rivals, trained
from panorax.rl.rollout import first_episode
from panorax.rl.seeds import train_seeds
from panorax.rl.world_models.actor_critic import Agent
from panorax.rl.world_models.imagination import open_loop
from panorax.rl.world_models.world import by_time

SEEN, PREDICTED = 5, 20  # steps of the figure of an open-loop prediction


def report_of(
    system: System, without_turns: Callable, scene: tuple[Agent, Environments, Environments], cfg
) -> Callable:
    """The report of a system with a world model.

    It draws an open-loop prediction if views can be drawn. With `cfg.seeds`, it trains seeds in
    parallel as `panorax.rl.seeds.report_of` does, one agent by `without_turns`, a training step
    whose actions in the environments are random, and as many seeds of `cfg.rivals`, for as many
    environment steps.

    scene: the agent, the environments of evaluations, and those of pictures.
    cfg: a config with `run`, `seeds`, `rivals`, and the environments and the replay of the system.
    """
    agent, held_out, shown = scene
    before = cfg.n_envs * cfg.length * cfg.rollouts_before
    steps = before + cfg.n_envs * cfg.length * cfg.run.steps
    named = rivals(cfg.rivals, cfg.environment, steps) if cfg.seeds else {}

    def report(state, key):
        key_predict, key_curves, key_apart, key_rivals = jax.random.split(key, 4)
        results = [prediction(agent, shown, state, key_predict)] if shown.picture else []
        if cfg.seeds:
            curves = training.report_of(system, cfg.run, cfg.seeds, held_out, before=before)
            results.append(curves(state, key_curves))
            apart = dataclasses.replace(system, train_step=without_turns)
            results.append(zero_shot(apart, cfg.run, key_apart))
            results.append(trained(named, cfg.seeds, key_rivals))
        return joined(results)

    return report


def zero_shot(system: System, run: Run, key) -> Result:
    """Return of a policy that first acts in its environment when it is evaluated.

    `system` has as many environment steps and updates, but the steps have random actions.
    """
    _, evaluation = train_seeds(system, run, jax.random.split(key, 1))
    return Result({"eval_return_without_turns": float(evaluation["eval_return"][0])})


def prediction(agent: Agent, envs: Environments, state: State, key) -> Result:
    """Predicts views of episodes from the first SEEN steps and all actions, and draws them.

    The metrics are the mean absolute error of a view's element over the PREDICTED steps, and the
    error of a still view: the last view that was seen. Steps after the first episode do not count.
    """

    @jax.jit
    def predict(state, key):
        key_play, key_predict = jax.random.split(key)
        act = agent.act(lambda pi, key: pi.mode(), state.params)
        trajectory = shown_episodes(act, envs, agent.empty_memory(envs.n), key_play)
        is_first = by_time(first_episode(trajectory))[:, : SEEN + PREDICTED]
        rows = jax.tree.map(lambda x: x[:, : SEEN + PREDICTED], by_time(transitions(trajectory)))
        predicted = open_loop(agent.world, state.params["world"], rows, SEEN, key_predict)
        truth = rows.next_observation.view
        error = lambda views: weighted_mean(
            jnp.mean(jnp.abs(views - truth[:, SEEN:]), tuple(range(2, truth.ndim))),
            is_first[:, SEEN:],
        )
        metrics = {
            "open_loop_error": error(predicted[:, SEEN:]),
            "still_view_error": error(truth[:, SEEN - 1 : SEEN]),
        }
        return metrics, (truth[0], predicted[0]), jnp.sum(is_first[0])

    metrics, shown, length = jax.device_get(predict(state, key))
    pictures = [[envs.picture(view) for view in views[:length]] for views in shown]
    metrics = {name: float(x) for name, x in metrics.items()}
    return Result(metrics, {"prediction.png": draw_prediction(*pictures)})


def draw_prediction(truth: list, predicted: list):
    """Pictures of true views above pictures of predicted views, every fourth step."""
    steps = range(0, len(truth), 4)
    shown = [views[step] for views in (truth, predicted) for step in steps]
    figure = figures.pictures(shown, len(steps), size=1.3)
    for i, ax in enumerate(figure.axes):
        step = steps[i % len(steps)]
        row = "truth" if i < len(steps) else "seen" if step < SEEN else "predicted"
        ax.set_title(f"step {step + 1}, {row}", fontsize=8)
    return figure
