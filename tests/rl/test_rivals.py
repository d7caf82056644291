"""Rivals: named algorithms, as many environment steps, and their returns over seeds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from panorax.configs.rl import dqn_breakout, ppo_breakout

from panorax.core.config import Run
from panorax.core.errors import UserError
from panorax.core.state import State, System
from panorax.rl.rivals import rivals, trained

NAMES = [f"{module.__name__}:smoke" for module in (ppo_breakout, dqn_breakout)]


def test_rivals_train_for_as_many_environment_steps():
    named = rivals(NAMES, ppo_breakout.smoke().environment, 130)
    assert {name: run.steps for name, (_, run) in named.items()} == {"ppo": 4, "dqn": 32}
    assert [system.per_step["environment_steps"] for system, _ in named.values()] == [32, 4]
    with pytest.raises(UserError, match="panorax.configs.rl.ppo:smoke acts in .*CartPole"):
        rivals(["panorax.configs.rl.ppo:smoke"], ppo_breakout.smoke().environment, 130)


def test_returns_are_those_of_the_evaluation_after_the_run():
    counter = System(  # its return is a random number of the seed, plus the number of steps
        spec={},
        init_state=lambda key: State((), (), jax.random.uniform(key), jnp.int32(0)),
        train_step=lambda state, batch, key: (state.replace(step=state.step + 1), {"return": 0.0}),
        evaluate=lambda state, batch, key: {"eval_return": (state.step + state.extra, 1)},
        per_step={"environment_steps": 4},
    )
    metrics = trained({"a": (counter, Run(5, 2)), "b": (counter, Run(7, 7))}, 3, jax.random.key(0))
    metrics = metrics.metrics
    assert 5 < metrics["a_min_eval_return"] < metrics["a_mean_eval_return"] < 6
    assert 7 < metrics["b_mean_eval_return"] < 8
    assert 0 < metrics["b_standard_error"] < 1
    assert not np.isclose(metrics["a_mean_eval_return"] + 2, metrics["b_mean_eval_return"])
    assert trained({}, 3, jax.random.key(0)).metrics == {}
