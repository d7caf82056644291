"""TRPO: its step against a dense solve, and probe environments with known best actions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core.config import Run
from panorax.core.optim import AdamW
from panorax.core.step import update
from panorax.maths.optimisation.curvature import gauss_newton_product
from panorax.ops.distributions import Categorical
from panorax.rl import trpo
from panorax.rl.environments import probes
from panorax.rl.policies import mlp
from panorax.rl.seeds import Curves
from panorax.testing.tolerances import MODEL

LEARNED = {"atol": 0.15}
"""error of a policy and of values that are learned from samples"""
X = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
W = np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)
G = np.random.default_rng(2).normal(size=(12, 4)).astype(np.float32)
SMALL = trpo.Config(delta=1e-4, damping=1e-3, turns=50)


def pi(w):
    """A linear softmax policy at 12 states."""
    return Categorical(jnp.asarray(X) @ w)


def loss_fn(w, extra, batch, key):
    return jnp.mean(jnp.sum(G * jax.nn.softmax(X @ w), 1)), (extra, {})


def step(cfg):
    """The parameters after one step, and its KL."""
    tx = trpo.trust_region(pi, cfg)
    after, *_ = update(loss_fn, tx, jnp.asarray(W), tx.init(W), (), (), None)
    return after, float(trpo.mean_kl(pi(jnp.asarray(W)), pi(after)))


def test_direction_is_the_dense_natural_gradient_and_the_step_reaches_the_border():
    gradient = jax.grad(lambda w: loss_fn(w, (), None, None)[0])(jnp.asarray(W))
    p = np.asarray(jax.nn.softmax(X @ W), np.float64)
    per_state = np.einsum("ij,ni->nij", np.eye(4), p) - np.einsum("ni,nj->nij", p, p)
    fisher = np.einsum("na,nij,nb->aibj", X, per_state, X).reshape(12, 12) / len(X)
    x = np.linalg.solve(fisher + SMALL.damping * np.eye(12), np.ravel(gradient)).reshape(W.shape)
    kl = functools.partial(trpo.mean_kl, pi(jnp.asarray(W)))
    product = functools.partial(gauss_newton_product, pi, kl, jnp.asarray(W))
    ours = trpo.natural_gradient(product, gradient, SMALL)
    scale = np.abs(x).max()
    np.testing.assert_allclose(ours / scale, x / scale, **MODEL)
    after, distance = step(SMALL)
    assert 0.9 * SMALL.delta < distance <= SMALL.delta
    assert loss_fn(after, (), None, None)[0] < loss_fn(W, (), None, None)[0]


@pytest.mark.parametrize("delta", [0.01, 1.0, 100.0])
def test_no_step_leaves_the_trust_region(delta):
    after, distance = step(trpo.Config(delta=delta))
    assert 0 < distance <= delta
    assert loss_fn(after, (), None, None)[0] < loss_fn(W, (), None, None)[0]


def test_line_search_takes_the_first_length_that_fits_or_none():
    length = lambda limit: float(trpo.backtracked(lambda a: a <= limit, 0.5, 4))
    assert [length(x) for x in (1.0, 0.9, 0.2, 0.125, 0.1)] == [1, 0.5, 0.125, 0.125, 0]


def probe(name, **changes):
    """The config of TRPO on a probe."""
    return trpo.Config(
        environment=probes.Config(name),
        policy=mlp.Config(hidden=(16,)),
        optim=AdamW(peak_lr=2e-2, schedule="linear", b2=0.999, eps=1e-5),
        run=Run(steps=100, chunk=100),
        delta=0.05,
        n_envs=16,
        length=8,
        discount=0.5,
        eval_episodes=16,
        **changes,
    )


def test_learns_the_best_actions_and_their_values(trained):
    respond, mean_return = trained(probe("policy"))
    mode, value = respond([-1, 1])
    np.testing.assert_array_equal(mode, [0, 1])
    np.testing.assert_allclose(value, [1, 1], **LEARNED)
    assert mean_return == 1


def test_learns_the_best_continuous_action(trained):
    respond, _ = trained(probe("continuous"))
    np.testing.assert_allclose(np.asarray(respond([-1, 1])[0])[:, 0], [-0.5, 0.5], **LEARNED)


def test_report_has_the_largest_excess_and_the_mean_kl():
    values = {name: np.array([[0.01, 0.02], [0.0, 0.03]]) for name in ("kl", "kl_excess")}
    values["largest_log_ratio"] = np.ones((2, 2))
    result = trpo.divergences(Curves(values, np.array([10, 20])), SMALL)
    assert result.metrics == {"largest_kl_excess": 0.03, "mean_kl": pytest.approx(0.015)}


def test_minibatches_must_divide_the_steps():
    with pytest.raises(ValueError, match="4 environments x 8 steps do not divide into 3 equal"):
        trpo.Config(n_envs=4, length=8, minibatches=3)
