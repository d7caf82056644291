"""PQN on probe environments with known values and best actions."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core.config import Run
from panorax.core.errors import UserError
from panorax.core.optim import AdamW
from panorax.core.step import scan_steps
from panorax.rl import pqn
from panorax.rl.environments import probes
from panorax.rl.environments.environment import Discrete, Observation
from panorax.rl.q_values.acting import action_values
from panorax.rl.q_values.networks import Mean, q_network
from panorax.rl.rollout import Trajectory
from panorax.rl.torsos import mlp
from panorax.testing.tolerances import LAYER

LEARNED = {"atol": 0.1}
"""error of values that are learned from samples"""

KEY = jax.random.key(0)
BASE = pqn.Config(
    torso=mlp.Config((16,), layer_norm=True),
    optim=AdamW(peak_lr=1e-2, schedule="linear", b2=0.999),
    run=Run(steps=100, chunk=100),
    n_envs=8,
    length=8,
    epochs=2,
    minibatches=2,
    discount=0.5,
    final_epsilon=0.5,
    eval_episodes=8,
)


@pytest.mark.parametrize(
    "name, x, values",
    [
        ("policy", [-1, 1], [[1, -1], [-1, 1]]),
        ("time_limit", [1, -1], [[1, 1], [2, 2]]),
        ("discounting", [0, 1], [[0.5, 0.5], [1, 1]]),
    ],
)
def test_the_network_learns_the_known_values(name, x, values):
    cfg = dataclasses.replace(BASE, environment=probes.Config(name))
    system = pqn.system(cfg)

    @jax.jit
    def train(key):
        start = system.init_state(key)
        state, _ = scan_steps(system.train_step, start, (), key, cfg.run.steps)
        total, n = system.evaluate(state, (), key)["eval_return"]
        return state, total / n

    state, mean_return = train(KEY)
    network = q_network(cfg.torso, (1,), Discrete(2), False, Mean())
    view = jnp.asarray(x, jnp.float32)[:, None]
    learned = action_values(state.params, Observation(view), network)
    np.testing.assert_allclose(learned, values, **LEARNED)
    assert float(mean_return) == 1.0


def test_the_targets_are_lambda_returns_of_the_best_actions():
    """A rollout of 3 steps whose second ends: the numbers are the definition, written out."""
    network = q_network(BASE.torso, (1,), Discrete(2), False, Mean())
    network = dataclasses.replace(network, apply=lambda params, view: view[..., None])
    next_view = jnp.array([[[0.0, 4.0]], [[9.0, 9.0]], [[3.0, 1.0]]])  # Q(s', .) of the steps
    trajectory = Trajectory(
        observation=Observation(next_view),
        first=None,
        memory=(),
        action=jnp.zeros((3, 1), jnp.int32),
        reward=jnp.array([[1.0], [2.0], [5.0]]),
        terminated=jnp.array([[False], [True], [False]]),
        truncated=jnp.zeros((3, 1), bool),
        next_observation=Observation(next_view),
        next_memory=(),
    )
    cfg = dataclasses.replace(BASE, discount=0.9, q_lambda=0.6)
    target = pqn.to_batch((), trajectory, network, cfg).target[:, 0]
    first = 1 + 0.9 * (0.4 * 4 + 0.6 * 2)
    np.testing.assert_allclose(target, [first, 2, 5 + 0.9 * 3], **LAYER)


def test_the_loss_is_half_the_mean_squared_error():
    network = q_network(BASE.torso, (2,), Discrete(2), False, Mean())
    network = dataclasses.replace(network, apply=lambda params, view: view[..., None])
    q = Observation(jnp.array([[1.0, 2.0], [3.0, 4.0]]))
    batch = pqn.Batch(q, jnp.array([1, 0]), jnp.array([1.0, 5.0]))
    loss, (_, metrics) = pqn.loss_fn((), (), batch, None, network)
    assert float(loss) == (1 + 4) / 4 and float(metrics["q"]) == 2.5


def test_bad_input_is_one_line():
    with pytest.raises(UserError, match="8 environments x 8 steps do not divide into 3 equal"):
        dataclasses.replace(BASE, minibatches=3)
    with pytest.raises(UserError, match="finite number of actions; this environment has Box"):
        pqn.system(dataclasses.replace(BASE, environment=probes.Config("continuous")))
