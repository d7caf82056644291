"""Tree search on bandits and small games whose values are known."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.rl import search
from panorax.rl.search.policies import halving_schedule, sampled
from panorax.testing.tolerances import NUMBER

KEY = jax.random.key(0)
POLICIES = {
    "muzero": search.muzero_policy,
    "gumbel": search.gumbel_muzero_policy,
    "uct": search.uct_policy,
}


def bandit(reward_BA):
    """Root and model of a choice that ends the episode with a reward."""
    reward_BA = jnp.asarray(reward_BA, jnp.float32)
    zero_B = jnp.zeros(len(reward_BA))

    def recurrent_fn(params, key, action, state):
        reward = jnp.where(state == 0, reward_BA[jnp.arange(len(action)), action], 0)
        output = search.RecurrentFnOutput(reward, zero_B, jnp.zeros_like(reward_BA), zero_B)
        return output, state + 1

    root = search.RootFnOutput(jnp.zeros_like(reward_BA), zero_B, jnp.zeros(len(zero_B)))
    return root, recurrent_fn


def run(policy, root, recurrent_fn, S, **options):
    policy = functools.partial(POLICIES[policy], num_simulations=S, **options)
    return jax.jit(lambda key: policy((), key, root, recurrent_fn))(KEY)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_best_valid_arm_is_chosen(policy):
    invalid = jnp.array([[False, False, False], [False, True, False], [True, True, True]])
    root, recurrent_fn = bandit([[0.1, 0.9, 0.3]] * 3)
    output = run(policy, root, recurrent_fn, 64, invalid_actions=invalid)
    summary = output.tree.summary()
    np.testing.assert_array_equal(output.action[:2], [1, 2])
    np.testing.assert_array_equal(jnp.sum(summary.visit_counts, -1), [64] * 3)
    assert int(summary.visit_counts[1, 1]) == 0 and float(output.action_weights[1, 1]) == 0
    np.testing.assert_allclose(summary.qvalues[0], [0.1, 0.9, 0.3], **NUMBER)
    np.testing.assert_allclose(jnp.sum(output.action_weights, -1), np.ones(3), **NUMBER)


def test_puct_has_the_visits_of_an_independent_search():
    """Visits that mctx finds for this bandit."""
    root, recurrent_fn = bandit([[0.1, 0.9, 0.3]])
    output = run("muzero", root, recurrent_fn, 64, dirichlet_fraction=0.0)
    np.testing.assert_array_equal(output.tree.summary().visit_counts, [[7, 53, 4]])


def test_trees_of_a_batch_are_independent():
    rewards = np.random.default_rng(0).normal(size=(5, 4))
    root, recurrent_fn = bandit(rewards)
    together = run("gumbel", root, recurrent_fn, 16, gumbel_scale=0.0).tree
    order = np.array([3, 0, 4])
    root, recurrent_fn = bandit(rewards[order])
    apart = run("gumbel", root, recurrent_fn, 16, gumbel_scale=0.0).tree
    for field in ("visits", "values", "children", "parents"):
        np.testing.assert_array_equal(getattr(together, field)[order], getattr(apart, field))


def test_no_path_is_longer_than_the_largest_depth():
    root, recurrent_fn = bandit([[1.0, 0.0]])
    tree = run("uct", root, recurrent_fn, 32, max_depth=2).tree
    used = np.flatnonzero(np.asarray(tree.visits[0]))
    parents = np.asarray(tree.parents[0])
    assert len(used) == 7  # the root, two children and four grandchildren
    assert {parents[parents[i]] for i in used[1:] if parents[i] > 0} == {0}


def test_every_node_is_the_mean_of_the_returns_through_it():
    """value * visits = own estimate + sum of visits * Q over the children, if none was cut."""
    root, recurrent_fn = bandit(np.random.default_rng(1).normal(size=(3, 4)))
    root = root.replace(value=jnp.array([0.5, -0.5, 0.2]))
    node = run("uct", root, recurrent_fn, 20).tree.root()
    total = root.value + jnp.sum(node.child_visits * node.qvalues, -1)
    np.testing.assert_allclose(node.value, total / node.visits, **NUMBER)


def test_halving_keeps_the_better_half_until_two_are_left():
    assert halving_schedule(4, 16).tolist() == [0] * 4 + [1] * 4 + [2, 2, 3, 3, 4, 4, 5, 5]
    assert halving_schedule(1, 3).tolist() == [0, 1, 2]
    assert halving_schedule(5, 3).tolist() == [0, 0, 0]


def test_temperature_zero_draws_among_the_largest_shares():
    share = jnp.tile(jnp.array([[0.4, 0.2, 0.4]]), (200, 1))
    assert set(np.asarray(sampled(KEY, share, 0.0)).tolist()) == {0, 2}
    assert set(np.asarray(sampled(KEY, share, 1.0)).tolist()) == {0, 1, 2}


@pytest.mark.parametrize("sizes", [{"num_simulations": 0}, {"num_simulations": 4, "max_depth": 0}])
def test_a_search_needs_a_simulation_and_a_depth(sizes):
    root, recurrent_fn = bandit([[1.0, 0.0]])
    with pytest.raises(ValueError, match="must be at least 1"):
        search.uct_policy((), KEY, root, recurrent_fn, **sizes)
