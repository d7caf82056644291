"""The report of imitators: sets of demonstrations, cloning, shares, curves and figures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core import figures
from panorax.core import spec as core_spec
from panorax.core.config import Run
from panorax.core.ranges import ConfigError
from panorax.core.state import State, System
from panorax.rl.environments import probes
from panorax.rl.imitation import report
from panorax.rl.imitation.experts import Labels
from panorax.rl.on_policy import Acting
from panorax.rl.policies import mlp
from panorax.testing.tolerances import NUMBER

KEY = jax.random.key(0)
PROBE = probes.Config("policy")
SOURCE, HELD_OUT = (probes.environments(PROBE, n) for n in (4, 8))
CFG = report.Config((1, 4), cloning_updates=200, cloning_rate=1e-2)


def expert(memory, observation, first, key):
    """The best policy of the probe."""
    return memory, (observation.view[:, 0] > 0).astype(jnp.int32)


def imitator(earned):
    """A system that is evaluated at `earned`, and whose training returns the weight of a batch."""
    return System(
        spec={},
        init_state=lambda key: State((), (), (), jnp.int32(0)),
        train_step=lambda state, batch, key: (
            state.replace(step=state.step + 1),
            {"return": jnp.sum(batch["weight"]) + state.step},
        ),
        evaluate=lambda state, batch, key: {"eval_return": (jnp.float32(earned), 1)},
        per_step={"environment_steps": 4},
    )


def test_sets_of_demonstrations_are_nested_and_of_one_size():
    labels = Labels(jnp.arange(8.0)[:, None], jnp.arange(8), jnp.ones(8))
    sets = report.nested(labels, (1, 2, 4))
    np.testing.assert_array_equal(
        sets.action, [[0, 1] * 4, [0, 1, 2, 3] * 2, [0, 1, 2, 3, 4, 5, 6, 7]]
    )
    assert sets.view.shape == (3, 8, 1) and sets.weight.shape == (3, 8)
    with pytest.raises(ConfigError, match="each of episodes must divide the largest"):
        report.Config((3, 4))


@pytest.fixture(scope="module")
def result():
    """The report on the probe, with imitators that do not learn."""
    policy = mlp.policy(mlp.Config((8,)), (1,), SOURCE.actions)
    acting = Acting(environment=PROBE, run=Run(5, chunk=2), seeds=2, normalize=True)
    setup = report.Imitators(imitator(0.5), imitator(-1.0), policy, acting, stride=1, pairs=3)
    return report.report(setup, CFG, expert, SOURCE, HELD_OUT, KEY)


def test_each_training_step_draws_rows_of_the_demonstrations():
    acting = Acting(environment=PROBE, run=Run(5, chunk=2))
    setup = report.Imitators(imitator(0), imitator(0), None, acting, stride=1, pairs=3)
    labels = Labels(jnp.zeros((9, 1)), jnp.zeros(9), jnp.arange(9.0))
    outcome = jax.jit(lambda key: report.adversarial(setup, setup.gail, labels, key))(KEY)
    total = outcome.curve - np.array([0.5, 2.5, 4])  # of the weights of three rows
    assert (total > 0).all() and (total < 24).all() and len({*total.tolist()}) == 3


def test_cloning_sees_standardised_views(monkeypatch):
    policy = mlp.policy(mlp.Config((8,)), (1,), SOURCE.actions)
    acting = Acting(environment=PROBE, normalize=True)
    setup = report.Imitators(imitator(0), imitator(0), policy, acting, stride=1, pairs=3)
    given = []

    def fit(policy, labels, key, tx, steps):
        given.append(labels(key))
        return core_spec.init(policy.spec, key)

    monkeypatch.setattr(report.cloning, "fit", fit)
    labels = Labels(jnp.array([[0.0], [4.0]]), jnp.array([0, 1]), jnp.ones(2))
    report.cloned(setup, CFG, HELD_OUT, labels, KEY)
    np.testing.assert_allclose(given[0].view, [[-1], [1]], **NUMBER)


def test_shares_compare_imitators_with_the_expert_and_with_random_actions(result):
    metrics = result.metrics
    assert metrics["expert_return"] == 1
    chance = metrics["random_return"]
    share = lambda x: pytest.approx((x - chance) / (1 - chance), rel=1e-5)
    assert metrics["gail_share_1"] == share(0.5) and metrics["constant_share"] == share(-1)
    assert metrics["bc_share_4"] <= 1 and metrics["bc_least_share_1"] <= metrics["bc_share_1"]
    assert metrics["bc_share_4"] > metrics["constant_share"]


def test_figures_have_a_curve_for_each_number_of_episodes_and_for_the_constant_reward(result):
    assert not any(figures.faults(x) for x in result.figures.values())
    axes = result.figures["learning_curves.png"].axes
    titles = ["1 demonstrated episode", "4 demonstrated episodes", "constant reward"]
    assert [ax.get_title() for ax in axes if ax.axison] == titles
    mean = axes[0].lines[-1]
    np.testing.assert_array_equal(mean.get_xdata(), [8, 16, 20])
    np.testing.assert_allclose(mean.get_ydata(), 3 + np.array([0.5, 2.5, 4]), **NUMBER)


def test_metrics_are_means_errors_and_least_shares_over_seeds():
    shares = {
        "gail": np.array([[0.9, 1.0], [0.8, 0.5], [1.0, 0.7]]),
        "bc": np.array([[0.1, 1.0], [0.3, 0.5], [0.2, 0.7]]),
        "constant": np.array([[0.1], [0.0], [-0.4]]),
    }
    metrics = report.compared(shares, (1, 4))
    expected = {
        "gail_share_1": 0.9,
        "gail_share_error_1": 0.1 / 3**0.5,
        "gail_least_share_4": 0.5,
        "bc_share_1": 0.2,
        "bc_least_share_1": 0.1,
        "constant_share": -0.1,
        "gail_above_bc_in_errors_1": 0.7 / np.std([0.8, 0.5, 0.8], ddof=1) * 3**0.5,
        "gail_above_bc_in_errors_4": 0,
    }
    measured = np.array([metrics[name] for name in expected])
    np.testing.assert_allclose(measured, [*expected.values()], **NUMBER)
