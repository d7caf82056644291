"""Tree search beside mctx: simulations per second over a batch of states on the CPU.

Both libraries search with one model, a layer of tanh units, and with equal constants. They make the
same calls, so one function serves both.

mctx selects and backs up in loops that are vmapped over the batch. Such a loop keeps finished trees
by a select over the whole tree, in every iteration. `panorax.rl.search` loops over the depth once
for all trees and writes single rows, so its time per simulation does not grow with the tree.
"""

import functools
from importlib.metadata import version
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from panorax.bench.rounds import compare
from panorax.bench.table import Table
from panorax.core.ranges import Count, checked
from panorax.engine.loop import Clock
from panorax.rl import search

CONTENDERS = {
    "panorax": "panorax.bench.rl.search:by_panorax",
    "mctx": "panorax.bench.rl.search:by_mctx",
}


@checked
class Config:
    """The sizes of the searches."""

    simulations: Count = 128
    """simulations of a search [S]"""
    longer: Count = 512
    """simulations of a longer search by PUCT"""
    batch: Count = 64
    """states that are searched together [B]"""
    actions: Count = 9
    """actions [A]"""
    width: Count = 32
    """units of the model"""
    rounds: Count = 7
    """counted rounds"""


def benchmark(cfg: Config, folder: Path) -> Table:
    """Compares PUCT and Gumbel searches without noise, and a longer search by PUCT."""
    table, rates = Table("simulations/s"), {}
    for case, policy, simulations in (
        ("puct", "puct", cfg.simulations),
        ("gumbel", "gumbel", cfg.simulations),
        ("longer", "puct", cfg.longer),
    ):
        setting = vars(cfg) | {"policy": policy, "simulations": simulations}
        measured = compare(CONTENDERS, setting, folder, cfg.rounds)
        table.add(case, measured, "mctx")
        rates[case] = np.median(measured["panorax"].rates)
        visits = [np.array(rounds.facts["visits"]) for rounds in measured.values()]
        table.metrics[f"{case}_states_with_equal_visits"] = float(
            np.mean(np.all(visits[0] == visits[1], -1))
        )
    table.metrics["longer_rate_over_rate"] = float(rates["longer"] / rates["puct"])
    return table


def by_panorax(setting: dict, folder: Path):
    """Searches of `panorax.rl.search`."""
    policies = {"puct": search.muzero_policy, "gumbel": search.gumbel_muzero_policy}
    visits = lambda output: output.tree.summary().visit_counts
    return searching(search, policies[setting["policy"]], visits, jax.__version__, setting)


def by_mctx(setting: dict, folder: Path):
    """Searches of mctx."""
    import mctx

    policies = {"puct": mctx.muzero_policy, "gumbel": mctx.gumbel_muzero_policy}
    visits = lambda output: output.search_tree.summary().visit_counts
    return searching(mctx, policies[setting["policy"]], visits, version("mctx"), setting)


def searching(library, policy, visits, library_version: str, setting: dict):
    """Facts and work of one contender; `visits(output)` are the visit counts of the roots."""
    clock, B, A, W = Clock(), setting["batch"], setting["actions"], setting["width"]
    keys = jax.random.split(jax.random.key(0), 4)
    scaled = lambda key, *shape: jax.random.normal(key, shape) / shape[0] ** 0.5
    params = {
        "next": scaled(keys[0], W + A, W),
        "policy": 3 * scaled(keys[1], W, A),
        "value": scaled(keys[2], W),
    }
    predict = lambda params, state: (state @ params["policy"], jnp.tanh(state @ params["value"]))

    def recurrent_fn(params, key, action, state):
        inputs = jnp.concatenate([state, jax.nn.one_hot(action, A)], -1)
        state = jnp.tanh(inputs @ params["next"])
        logits, value = predict(params, state)
        output = library.RecurrentFnOutput(
            reward=jnp.zeros(B), discount=-jnp.ones(B), prior_logits=logits, value=value
        )
        return output, state

    noise = {"dirichlet_fraction": 0.0} if setting["policy"] == "puct" else {"gumbel_scale": 0.0}
    run = functools.partial(policy, num_simulations=setting["simulations"], **noise)

    def whole(params, key, state):
        logits, value = predict(params, state)
        root = library.RootFnOutput(prior_logits=logits, value=value, embedding=state)
        return visits(run(params, key, root, recurrent_fn))

    arguments = (params, jax.random.key(1), jax.random.normal(keys[3], (B, W)))
    program = clock.compile(whole, *arguments)
    facts = {
        "visits": np.asarray(program(*arguments), int).tolist(),
        "compile_seconds": clock.compiling,
        "version": library_version,
    }
    searches = max(1, 1024 // setting["simulations"])

    def work():
        for _ in range(searches):
            program(*arguments).block_until_ready()
        return searches * B * setting["simulations"]

    return facts, work
