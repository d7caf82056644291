"""CQL's loss by numpy, its special cases, and its data."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core.errors import UserError
from panorax.rl import cql
from panorax.rl.offline import agents, dataset, report
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
    rows = agents.dataset(CFG.data) | {"action": np.full(400, 7)}
    dataset.write(tmp_path / "x.npz", rows)
    system = cql.system(dataclasses.replace(CFG, path=str(tmp_path / "x.npz")))
    with pytest.raises(UserError, match="actions up to 7; the environment has views .* 5 actions"):
        system.batches(0)


def test_the_report_compares_methods_with_one_seed_each(monkeypatch):
    def train_seed(system, arrays, run, batch, key):
        x = jnp.float32(system)
        return {"q_of_data": x[None], "q_of_unseen": 2 * x[None]}, {"eval_return": 10 * x}

    monkeypatch.setattr(report, "train_seed", train_seed)
    data = lambda: agents.dataset(CFG.data)
    result = report.report({"cql": 3, "dqn": 1, "bc": 2}, data, CFG.run, 8, 2, KEY)
    expected = {"cql_return": 30, "dqn_return": 10, "bc_return": 20, "cql_above_bc": 10}
    expected |= {"cql_above_dqn": 20, "cql_unseen_q": 3, "dqn_unseen_q": 1}
    measured = {name: result.metrics[name] for name in expected}
    np.testing.assert_allclose([*measured.values()], [*expected.values()], **NUMBER)
