"""Policies that act by search: PUCT, Gumbel and UCT.

All take the root states, the model and the number of simulations, and return a PolicyOutput.
invalid_actions (B, A) is true where an action is not allowed at the root. Below the root, the model
excludes an action by a very negative prior logit.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from panorax.rl.search.qtransforms import by_parent_and_siblings, completed_by_mix_value
from panorax.rl.search.search import search
from panorax.rl.search.tree import Node, PolicyOutput, RecurrentFn, RootFnOutput


def muzero_policy(
    params,
    key: jax.Array,
    root: RootFnOutput,
    recurrent_fn: RecurrentFn,
    num_simulations: int,
    invalid_actions: jax.Array | None = None,
    max_depth: int | None = None,
    *,
    qtransform: Callable = by_parent_and_siblings,
    dirichlet_fraction: float = 0.25,
    dirichlet_alpha: float = 0.3,
    pb_c_init: float = 1.25,
    pb_c_base: float = 19652.0,
    temperature: float = 1.0,
    tie_noise: float = 1e-7,
) -> PolicyOutput:
    """Search by PUCT; the action is drawn in proportion to visits^(1 / temperature).

    dirichlet_fraction, dirichlet_alpha: share of noise in the root's prior, a Python number, and
    its concentration.
    pb_c_init, pb_c_base: constants of the exploration term.
    tie_noise: size of the uniform noise that breaks ties between actions.

    Source: Schrittwieser et al. 2020, appendix B.
    """
    key_noise, key_search, key_action = jax.random.split(key, 3)
    prior_BA = jax.nn.softmax(root.prior_logits)
    if dirichlet_fraction > 0:
        alpha_A = jnp.full(prior_BA.shape[-1], dirichlet_alpha)
        noise_BA = jax.random.dirichlet(key_noise, alpha_A, (len(prior_BA),))
        prior_BA = (1 - dirichlet_fraction) * prior_BA + dirichlet_fraction * noise_BA
    root = root.replace(prior_logits=without(_log(prior_BA), invalid_actions))

    def select(node, tie_break_BA, invalid=None):
        score_BA = puct(node, qtransform, pb_c_init, pb_c_base) + tie_noise * tie_break_BA
        return best(score_BA, invalid)

    at_root = functools.partial(select, invalid=invalid_actions)
    tree = search(
        params, key_search, root, recurrent_fn, at_root, select, num_simulations, max_depth
    )
    share_BA = tree.summary().visit_probs
    return PolicyOutput(sampled(key_action, share_BA, temperature), share_BA, tree)


def puct(node: Node, qtransform: Callable, pb_c_init: float, pb_c_base: float):
    """The score qtransform(Q) + c P sqrt(N) / (1 + n) of each action.

    N counts the visits of the node, n the visits of the action, P is the prior, and the factor c is
    pb_c_init + log((N + pb_c_base + 1) / pb_c_base).
    """
    N_B1 = node.visits[..., None]
    c_B1 = pb_c_init + jnp.log((N_B1 + pb_c_base + 1.0) / pb_c_base)
    return qtransform(node) + jnp.sqrt(N_B1) * c_B1 * node.priors / (node.child_visits + 1)


def gumbel_muzero_policy(
    params,
    key: jax.Array,
    root: RootFnOutput,
    recurrent_fn: RecurrentFn,
    num_simulations: int,
    invalid_actions: jax.Array | None = None,
    max_depth: int | None = None,
    *,
    qtransform: Callable = completed_by_mix_value,
    max_num_considered_actions: int = 16,
    gumbel_scale: float = 1.0,
) -> PolicyOutput:
    """Search by sequential halving at the root, and deterministic planning below.

    The action is the best of the most visited actions; the weights are the improved policy
    softmax(logits + qtransform(Q)).

    max_num_considered_actions: actions drawn without replacement at the root.
    gumbel_scale: scale of the Gumbel noise; 0 makes the search deterministic.

    Source: Danihelka et al. 2022, "Policy improvement by planning with Gumbel".
    """
    root = root.replace(prior_logits=without(root.prior_logits, invalid_actions))
    key_gumbel, key_search = jax.random.split(key)
    gumbel_BA = gumbel_scale * jax.random.gumbel(key_gumbel, root.prior_logits.shape)
    valid_BA = (
        jnp.ones(gumbel_BA.shape, bool)
        if invalid_actions is None
        else ~jnp.asarray(invalid_actions, bool)
    )
    considered_B = jnp.minimum(max_num_considered_actions, jnp.sum(valid_BA, -1))
    schedule_MS = jnp.asarray(
        [halving_schedule(m, num_simulations) for m in range(max_num_considered_actions + 1)]
    )

    def score(node, visits_B):
        """Gumbel noise + logits + Q of the actions with `visits_B` visits, -inf of all others."""
        logits_BA = node.prior_logits - jnp.max(node.prior_logits, -1, keepdims=True)
        score_BA = jnp.maximum(-1e9, gumbel_BA + logits_BA + qtransform(node))
        return jnp.where(node.child_visits == visits_B[:, None], score_BA, -jnp.inf)

    def select_root(node, tie_break_BA):
        simulation_B = jnp.sum(node.child_visits, -1)
        return best(score(node, schedule_MS[considered_B, simulation_B]), ~valid_BA)

    def select(node, tie_break_BA):
        improved_BA = jax.nn.softmax(node.prior_logits + qtransform(node))
        total_B1 = jnp.sum(node.child_visits, -1, keepdims=True)
        return best(improved_BA - node.child_visits / (1 + total_B1))

    tree = search(
        params, key_search, root, recurrent_fn, select_root, select, num_simulations, max_depth
    )
    node = tree.root()
    action_B = best(score(node, jnp.max(node.child_visits, -1)), ~valid_BA)
    improved_BA = without(root.prior_logits + qtransform(node), invalid_actions)
    return PolicyOutput(action_B, jax.nn.softmax(improved_BA), tree)


def halving_schedule(considered: int, num_simulations: int) -> np.ndarray:
    """Visit count of the action that each simulation at the root visits next, (num_simulations,).

    Every phase visits its actions equally often, and the next phase keeps the better half, until
    two actions are left. Phases get about num_simulations / log2(considered) simulations each.
    Source: Karnin et al. 2013, algorithm 1.
    """
    if considered <= 1:
        return np.arange(num_simulations)
    phases, kept, visits, schedule = math.ceil(math.log2(considered)), considered, 0, []
    while len(schedule) < num_simulations:
        rounds = max(1, num_simulations // (phases * kept))
        schedule += [count for count in range(visits, visits + rounds) for _ in range(kept)]
        visits, kept = visits + rounds, max(2, kept // 2)
    return np.array(schedule[:num_simulations])


def uct_policy(
    params,
    key: jax.Array,
    root: RootFnOutput,
    recurrent_fn: RecurrentFn,
    num_simulations: int,
    invalid_actions: jax.Array | None = None,
    max_depth: int | None = None,
    *,
    exploration: float = 2**0.5,
) -> PolicyOutput:
    """Search by UCB1, with values from the model, such as returns of random playouts.

    Selects the largest Q + exploration * sqrt(log N / n); unvisited actions come first, in random
    order. An action of prior 0 is never selected. The action is the most visited one.

    Source: Kocsis & Szepesvari 2006.
    """
    key_search, key_action = jax.random.split(key)
    root = root.replace(prior_logits=without(root.prior_logits, invalid_actions))

    def select(node, tie_break_BA):
        n_BA = jnp.maximum(node.child_visits, 1)
        bonus_BA = exploration * jnp.sqrt(jnp.log(node.visits[:, None]) / n_BA)
        visited_BA = node.child_visits > 0
        score_BA = jnp.where(visited_BA, node.qvalues + bonus_BA, 1e6 + 1e3 * tie_break_BA)
        return best(score_BA, node.priors == 0)

    tree = search(
        params, key_search, root, recurrent_fn, select, select, num_simulations, max_depth
    )
    share_BA = tree.summary().visit_probs
    return PolicyOutput(sampled(key_action, share_BA, 0.0), share_BA, tree)


def best(score_BA: jax.Array, invalid_BA: jax.Array | None = None) -> jax.Array:
    """The valid action of the largest score, 0 if no action is valid, int32 (B,)."""
    if invalid_BA is not None:
        score_BA = jnp.where(invalid_BA, -jnp.inf, score_BA)
    return jnp.argmax(score_BA, -1).astype(jnp.int32)


def without(logits_BA: jax.Array, invalid_BA: jax.Array | None) -> jax.Array:
    """Logits that give invalid actions the probability 0, and finite ones if all are invalid."""
    if invalid_BA is None:
        return logits_BA
    logits_BA = logits_BA - jnp.max(logits_BA, -1, keepdims=True)
    return jnp.where(invalid_BA, jnp.finfo(logits_BA.dtype).min, logits_BA)


def sampled(key: jax.Array, share_BA: jax.Array, temperature: float) -> jax.Array:
    """Actions drawn in proportion to share^(1 / temperature); 0 draws among the largest shares."""
    logits_BA = _log(share_BA)
    logits_BA = logits_BA - jnp.max(logits_BA, -1, keepdims=True)
    scaled_BA = logits_BA / jnp.maximum(jnp.finfo(logits_BA.dtype).tiny, temperature)
    return jax.random.categorical(key, scaled_BA).astype(jnp.int32)


def _log(p: jax.Array) -> jax.Array:
    return jnp.log(jnp.maximum(p, jnp.finfo(p.dtype).tiny))
