"""CQL's loss by numpy, its special cases, and its data."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core.errors import UserError
from panorax.rl import cql
from panorax.rl.environments import from_gymnasium, from_gymnax
from panorax.rl.offline import agents, dataset, recorded, report
from panorax.rl.torsos import mlp
from panorax.testing.tolerances import LAYER, NUMBER

KEY = jax.random.key(0)
B, A = 6, 5
CFG = cql.Config(data=agents.Config("random", episodes=2), torso=mlp.Config((8,)), seeds=0)


class Table:
    """Q-values that do not depend on a network: the view is the row of a table."""

    def __call__(self, params, view):
        return params[view[:, 0].astype(jnp.int32)]


@pytest.mark.parametrize("alpha, td_weight", [(0.7, 1.0), (0.0, 1.0), (1.0, 0.0)])
def test_loss_and_gradient(alpha, td_weight):
    rng = np.random.default_rng(0)
    q, slow = rng.normal(size=(2, 2 * B, A)).astype(np.float32)
    batch = {
        "view": np.arange(B, dtype=np.float32)[:, None],
        "next_view": B + np.arange(B, dtype=np.float32)[:, None],
        "action": rng.integers(0, A, B).astype(np.int32),
        "reward": rng.normal(size=B).astype(np.float32),
        "terminated": np.arange(B) % 3 == 0,
    }
    cfg = dataclasses.replace(CFG, alpha=alpha, td_weight=td_weight, reward_scale=2, discount=0.9)
    loss = lambda q: cql.loss_fn(q, cql.Extra(jnp.asarray(slow)), batch, KEY, Table(), cfg)
    batch = jax.tree.map(jnp.asarray, batch)
    (ours, (_, metrics)), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(q)

    rows, batch = np.arange(B), jax.device_get(batch)
    a = batch["action"]
    next_q = slow[B + rows, q[B:].argmax(1)]
    error = q[rows, a] - (2 * batch["reward"] + 0.9 * ~batch["terminated"] * next_q)
    huber = np.where(abs(error) < 1, error**2 / 2, abs(error) - 0.5)
    log_sum = np.log(np.exp(q[:B]).sum(1))
    np.testing.assert_allclose(
        ours, td_weight * huber.mean() + alpha * (log_sum - q[rows, a]).mean(), **LAYER
    )
    expected = np.zeros_like(q)
    expected[:B] = alpha * np.exp(q[:B] - log_sum[:, None]) / B
    expected[rows, a] += (td_weight * np.clip(error, -1, 1) - alpha) / B
    np.testing.assert_allclose(gradient, expected, **LAYER)
    others = np.where(np.arange(A) == a[:, None], -np.inf, q[:B]).max(1).mean() / 2
    np.testing.assert_allclose(metrics["q_of_unseen"], others, **LAYER)


def test_random_data_is_whole_episodes_and_is_accepted():
    rows = dataset.checked(agents.dataset(CFG.data), "data")
    assert rows["view"].shape == (400, 3) and len(dataset.episode_returns(rows)) == 2
    np.testing.assert_array_equal(rows["view"][1:200], rows["next_view"][:199])
    assert {*rows["action"]} == {*range(A)}


def test_data_of_another_environment_is_refused(tmp_path):
    """A file, whose views fit and whose actions do not, and an environment on the host."""
    rows = agents.dataset(CFG.data) | {"action": np.full(400, 7)}
    dataset.write(tmp_path / "x.npz", rows)
    pendulum = from_gymnax.Config("Pendulum-v1", values=5)
    file = recorded.Config(str(tmp_path / "x.npz"), pendulum)
    system = cql.system(dataclasses.replace(CFG, data=file))
    with pytest.raises(UserError, match="actions up to 7; the environment has views .* 5 actions"):
        system.batches(0)
    file = recorded.Config("x.npz", from_gymnasium.Config("CartPole-v1"))
    with pytest.raises(UserError, match="run on the host, .* add --seeds 0"):
        cql.system(dataclasses.replace(CFG, data=file, seeds=2))


def test_the_report_compares_methods_over_seeds(monkeypatch):
    def train_seeds(system, batch_of, rows, run, batch, seeds):
        assert rows == 400 and {*batch_of(jnp.arange(2))} == {*dataset.TRAINED}
        curve = np.full((seeds, 3), float(system))
        curves = {"q_of_data": curve, "q_of_unseen": 2 * curve}
        return curves, {"eval_return": system * np.array([1.0, 3.0])}

    monkeypatch.setattr(report, "train_seeds", train_seeds)
    data = lambda: agents.dataset(CFG.data)
    result = report.report({"cql": 3, "dqn": 1, "bc": 2}, data, CFG.run, 8, 2)
    expected = {"cql_return": 6, "dqn_return": 2, "bc_return": 4, "cql_return_error": 3}
    expected |= {"cql_above_bc": 1, "mean_cql_above_bc": 2, "cql_above_dqn": 2}
    expected |= {"cql_unseen_q": 3, "dqn_unseen_q": 1}
    measured = {name: result.metrics[name] for name in expected}
    np.testing.assert_allclose([*measured.values()], [*expected.values()], **NUMBER)


def test_mixtures_are_the_episodes_of_their_agents(monkeypatch):
    monkeypatch.setattr(agents, "_trained", lambda cfg, key: constant[cfg.agent])
    act = lambda action: lambda memory, view, first, key: (memory, jnp.full(first.shape, action))
    constant = {"medium": act(1), "expert": act(3)}
    cfg = agents.Config("medium-expert", episodes=2, seed=17)
    rows = dataset.checked(agents.dataset(cfg), "data")
    np.testing.assert_array_equal(rows["action"], [1] * 400 + [3] * 400)
    assert len(dataset.episode_returns(rows)) == 4
