"""Regrets on the rope by closed forms, the mixture of policies, and rounds of DAgger."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core.config import Run
from panorax.core.ranges import ConfigError
from panorax.rl import bc
from panorax.rl.environments import probes
from panorax.rl.environments.environment import Observation
from panorax.rl.ppo import Config as PPO
from panorax.testing.tolerances import DOUBLE

KEY = jax.random.key(0)
PROBE = PPO(environment=probes.Config("policy"), run=Run(steps=1, chunk=1), seeds=0)
CFG = bc.Config(rounds=3, labels=16, updates=60, rate=1e-2, eval_episodes=8, seeds=2)


def act_by(rule):
    """A policy without memory from a rule view -> action."""
    return lambda memory, observation, first, key: (memory, rule(observation.view))


TEACHER = act_by(lambda view: (view[:, 0] > 0).astype(jnp.int32))


def test_regrets_on_the_rope_by_sums():
    T, eps = 7, 0.1
    on = (1 - eps) ** np.arange(T)
    np.testing.assert_allclose(bc.regret(T, eps, 1.0), (1 - on).sum(), **DOUBLE)
    np.testing.assert_allclose(bc.regret(T, eps, eps), eps * (T - 1), **DOUBLE)
    np.testing.assert_allclose(bc.regret(T, 0.0, 0.5), 0, **DOUBLE)
    np.testing.assert_allclose(bc.regret(3, 1.0, 0.5), 1 + 0.5, **DOUBLE)


def test_exponents_are_two_and_one_and_the_bounds_hold():
    metrics = bc.on_rope(KEY, CFG).metrics
    assert metrics["bc_exponent"] == pytest.approx(2, abs=0.05)
    assert metrics["dagger_exponent"] == pytest.approx(1, abs=0.05)
    assert metrics["bc_over_bound"] <= 1 and metrics["dagger_over_bound"] <= 1
    assert metrics["closed_form_gap"] < 1e-9


@pytest.mark.parametrize("share, low, high", [(1.0, 64, 64), (0.0, 0, 0), (0.5, 16, 48)])
def test_a_mixture_acts_with_the_first_policy_at_its_share(share, low, high):
    one, zero = (act_by(lambda view, a=a: jnp.full(len(view), a)) for a in (1, 0))
    act = bc.mixed(one, zero, jnp.float32(share))
    _, action = act((), Observation(jnp.zeros((64, 1))), jnp.zeros(64, bool), KEY)
    assert low <= action.sum() <= high


@pytest.fixture(scope="module")
def rounds():
    """Cloning and DAgger on a probe whose best action is 1 for the view 1 and 0 for -1."""
    run = lambda mixture: jax.jit(lambda key: bc.aggregation(CFG, PROBE, TEACHER, mixture, key))(
        KEY
    )
    return run(1.0), run(0.0)


def test_both_methods_learn_the_probe_and_their_losses_fall(rounds):
    for measured in rounds:
        assert measured.returns.shape == (3,) and measured.returns[-1] == 1
        assert measured.online[0] > 0.5 > measured.online[-1]
        assert (measured.hindsight < 0.3).all()


def test_metrics_compare_the_methods_with_the_expert(monkeypatch):
    def aggregation(cfg, learner, teacher, mixture, key):
        rise = jnp.array([1.0, 2.0, 3.0]) * (1 + (mixture == 0))
        return bc.Rounds(rise, rise, rise)

    monkeypatch.setattr(bc, "aggregation", aggregation)
    monkeypatch.setattr(bc, "expert", lambda cfg: TEACHER)
    monkeypatch.setattr(bc, "algorithm", lambda name: PROBE)
    metrics = bc.control(KEY, CFG).metrics
    assert metrics["expert_return"] == 1
    assert metrics["bc_return"] == 3 and metrics["dagger_return"] == 6
    assert metrics["dagger_share_of_expert"] == 6 and metrics["bc_standard_error"] == 0
    assert metrics["first_regret_of_labels"] == 0 and metrics["regret_of_labels"] == -2


def test_one_horizon_is_refused():
    with pytest.raises(ConfigError, match="two horizons"):
        dataclasses.replace(CFG, horizons=(10,))
