"""Search trees against mctx: equal visit counts, node by node, with the same constants."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.rl import search
from panorax.rl.search import qtransforms
from panorax.testing.tolerances import LAYER

STORED = {"rtol": 0, "atol": 1e-3}
"""the tolerance of mctx for its own stored trees"""
SILENT = {
    "muzero": functools.partial(search.muzero_policy, dirichlet_fraction=0.0),
    "gumbel_muzero": functools.partial(search.gumbel_muzero_policy, gumbel_scale=0.0),
}
RANGE = functools.partial(qtransforms.by_min_max, min_value=-2.0, max_value=2.0)
RAW = functools.partial(
    qtransforms.completed_by_mix_value, use_mixed_value=False, rescale_values=False
)


@pytest.mark.parametrize(
    "name, policy, options",
    [
        ("search/puct", "muzero", {}),
        ("search/puct_two_players", "muzero", {"qtransform": RANGE, "pb_c_init": 2.0}),
        ("search/puct_depth", "muzero", {}),
        ("search/gumbel", "gumbel_muzero", {}),
        ("search/gumbel_two_players", "gumbel_muzero", {"max_num_considered_actions": 3}),
        ("search/gumbel_depth", "gumbel_muzero", {"qtransform": RAW}),
    ],
)
def test_trees_of_a_table(golden, name, policy, options):
    with golden(name) as case:
        x = {k: case[k] for k in ("logits", "value", "reward", "discount", "next", "invalid")}
        sizes = case.settings()
        B = len(x["invalid"])

        def recurrent_fn(params, key, action, state):
            after = x["next"][state, action]
            output = search.RecurrentFnOutput(
                x["reward"][state, action],
                x["discount"][state, action],
                x["logits"][after],
                x["value"][after],
            )
            return output, after

        root = search.RootFnOutput(x["logits"][:B], x["value"][:B], jnp.arange(B))
        run = functools.partial(
            SILENT[policy],
            num_simulations=sizes["simulations"],
            max_depth=sizes["depth"],
            invalid_actions=x["invalid"],
            **options,
        )
        output = jax.jit(lambda key: run((), key, root, recurrent_fn))(jax.random.key(0))
        tree, summary = output.tree, output.tree.summary()
        for ours, theirs in (
            (tree.visits, "visits"),
            (tree.parents, "parents"),
            (tree.children, "children"),
        ):
            np.testing.assert_array_equal(ours, case[theirs], theirs)
        N = tree.visits.shape[1]
        every = jax.vmap(tree.at, 1, 1)(jnp.tile(jnp.arange(N), (B, 1)))
        np.testing.assert_array_equal(every.child_visits, case["child_visits"])
        np.testing.assert_allclose(tree.values, case["values"], **LAYER)
        np.testing.assert_allclose(summary.qvalues, case["root_qvalues"], **LAYER)
        np.testing.assert_allclose(output.action_weights, case["action_weights"], **LAYER)
        if policy == "gumbel_muzero":
            np.testing.assert_array_equal(output.action, case["action"])


def random_model(num_actions: int, discount: float, zero_reward: bool):
    """The model of the stored trees: a state is a key, from which its predictions are drawn."""

    def predict(state):
        policy, value, reward = jax.random.split(state, 3)
        uniform = lambda key: jax.random.uniform(key, minval=-1.0, maxval=1.0)
        return jax.random.normal(policy, (num_actions,)), uniform(value), uniform(reward)

    def recurrent_fn(params, key, action, state):
        follow = lambda state, action: jax.random.split(state, num_actions)[action]
        state = jax.vmap(follow)(state, action)
        logits, value, reward = jax.vmap(predict)(state)
        reward = jnp.zeros_like(reward) if zero_reward else reward
        return search.RecurrentFnOutput(
            reward, jnp.full_like(reward, discount), logits, value
        ), state

    key = jax.random.PRNGKey(0)
    states = jnp.stack([key, jax.random.fold_in(key, 1), jax.random.fold_in(key, 2)])
    logits, value, _ = jax.vmap(predict)(states)
    return search.RootFnOutput(logits, value, states), recurrent_fn


@pytest.mark.parametrize(
    "name",
    [
        "search/muzero_tree",
        "search/muzero_qtransform_tree",
        "search/gumbel_muzero_tree",
        "search/gumbel_muzero_reward_tree",
    ],
)
def test_stored_trees_of_mctx(golden, name):
    with golden(name) as case, jax.threefry_partitionable(False):
        stored, A, S = case.settings(), int(case["num_actions"]), len(case["visits"]) - 1
        options = stored["algorithm_config"]
        transform = getattr(qtransforms, options.pop("qtransform").removeprefix("qtransform_"))
        transform = functools.partial(transform, **options.pop("qtransform_kwargs"))
        invalid = np.zeros((3, A), bool)  # rows with fewer actions have trees of other depths
        invalid[1, 1:], invalid[2, 2:] = True, True
        root, recurrent_fn = random_model(A, **stored["env_config"])
        run = functools.partial(
            SILENT[stored["algorithm"]],
            num_simulations=S,
            invalid_actions=invalid,
            qtransform=transform,
            **options,
        )
        tree = jax.jit(lambda key: run((), key, root, recurrent_fn))(jax.random.key(1)).tree
        np.testing.assert_array_equal(tree.visits[0], case["visits"])
        np.testing.assert_array_equal(tree.parents[0], case["parents"])
        np.testing.assert_array_equal(tree.actions[0, 1:], case["actions"][1:])
        np.testing.assert_allclose(tree.values[0], case["values"], **STORED)
