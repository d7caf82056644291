"""Search trees of mctx: searches in tables of random numbers, and the trees of its own tests.

A table is a model with K states: prior logits, values, rewards, discounts and next states. Searches
draw no noise, except 1e-7 that mctx adds to break ties.
"""

import functools
import importlib.resources
import json

import jax
import jax.numpy as jnp
import mctx
import numpy as np
from case import Arrays, named, normal, settings

GROUP = "jax"
PACKAGES = ("mctx",)
K, A, B = 60, 5, 4
POLICIES = {"muzero": mctx.muzero_policy, "gumbel": mctx.gumbel_muzero_policy}
TREES = (
    "muzero_tree",
    "muzero_qtransform_tree",
    "gumbel_muzero_tree",
    "gumbel_muzero_reward_tree",
)


def table(rng: np.random.RandomState, players: int) -> Arrays:
    """A model of random numbers; a tenth of its transitions ends an episode."""
    discount = np.where(rng.rand(K, A) < 0.1, 0.0, 0.9 if players == 1 else -1.0)
    invalid = np.zeros((B, A), bool)
    invalid[1, 2:], invalid[2, 0], invalid[3, 1:] = True, True, True
    return {
        "logits": normal(rng, K, A),
        "value": np.tanh(normal(rng, K)),
        "reward": normal(rng, K, A, std=0.3),
        "discount": discount.astype(np.float32),
        "next": rng.randint(0, K, (K, A)).astype(np.int32),
        "invalid": invalid,
    }


def searched(policy: str, model: Arrays, simulations: int, depth: int | None, **options) -> Arrays:
    """The search of mctx from the states 0 .. B - 1 of a table."""
    x = {name: jnp.asarray(array) for name, array in model.items()}
    root = mctx.RootFnOutput(
        prior_logits=x["logits"][:B], value=x["value"][:B], embedding=jnp.arange(B)
    )

    def recurrent_fn(params, key, action, state):
        after = x["next"][state, action]
        output = mctx.RecurrentFnOutput(
            reward=x["reward"][state, action],
            discount=x["discount"][state, action],
            prior_logits=x["logits"][after],
            value=x["value"][after],
        )
        return output, after

    noise = {"dirichlet_fraction": 0.0} if policy == "muzero" else {"gumbel_scale": 0.0}
    run = functools.partial(POLICIES[policy], num_simulations=simulations, max_depth=depth)
    output = run(
        (), jax.random.key(0), root, recurrent_fn, invalid_actions=x["invalid"], **noise, **options
    )
    tree = output.search_tree
    summary = tree.summary()
    deterministic = {"action": output.action} if policy == "gumbel" else {}
    return {
        **settings(simulations=simulations, depth=depth),
        **model,
        **deterministic,
        "action_weights": output.action_weights,
        "visits": tree.node_visits,
        "values": tree.node_values,
        "parents": tree.parents,
        "children": tree.children_index,
        "child_visits": tree.children_visits,
        "root_qvalues": summary.qvalues,
    }


def stored_tree(name: str) -> Arrays:
    """A tree of the tests of mctx, which was computed by an earlier implementation."""
    folder = importlib.resources.files("mctx") / "_src" / "tests" / "test_data"
    stored = json.loads((folder / f"{name}.json").read_text())
    root, nodes = stored["tree"], {}

    def walk(node, parent, action):
        if "evaluation_index" in node:
            index = node["evaluation_index"]
            nodes[index] = (node["visit"], node["value_view"], parent, action)
            for child in node["child_stats"]:
                walk(child, index, child["action"])

    walk(root, -1, -1)
    visits, values, parents, actions = zip(*(nodes[i] for i in range(len(nodes))), strict=True)
    return {
        "settings": np.array(json.dumps({k: v for k, v in stored.items() if k != "tree"})),
        "actions": np.array(actions),
        "parents": np.array(parents),
        "values": np.array(values),
        "visits": np.array(visits),
        "num_actions": np.array(len(root["child_stats"])),
    }


def generate() -> Arrays:
    one, two = (table(np.random.RandomState(seed), players) for seed, players in ((5, 1), (6, 2)))
    by_range = functools.partial(mctx.qtransform_by_min_max, min_value=-2.0, max_value=2.0)
    raw = functools.partial(
        mctx.qtransform_completed_by_mix_value, use_mixed_value=False, rescale_values=False
    )
    cases = {
        "puct": searched("muzero", one, 48, None),
        "puct_two_players": searched("muzero", two, 48, None, qtransform=by_range, pb_c_init=2.0),
        "puct_depth": searched("muzero", two, 48, 2),
        "gumbel": searched("gumbel", one, 48, None),
        "gumbel_two_players": searched("gumbel", two, 48, None, max_num_considered_actions=3),
        "gumbel_depth": searched("gumbel", one, 33, 3, qtransform=raw),
    }
    cases |= {name: stored_tree(name) for name in TREES}
    return {k: x for name, arrays in cases.items() for k, x in named(name, arrays).items()}
