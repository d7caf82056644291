"""RLHF where all answers can be listed: the optimum in closed form, and what DPO reaches.

For a prompt with answers y, rewards r(y), a reference pi_ref and the objective

    E_pi[r] - beta KL(pi | pi_ref),

the optimum is pi*(y) = pi_ref(y) exp(r(y) / beta) / Z with Z = sum_y pi_ref(y) exp(r(y) / beta), so
that r(y) = beta log pi*(y) / pi_ref(y) + beta log Z. A person prefers y to y' with the probability
sigmoid(r(y) - r(y')) (Bradley & Terry 1952).
Source: Rafailov et al. 2023, arXiv:2305.18290, section 4.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from panorax.core.step import descend
from panorax.ops.preferences import dpo_loss


class Problem(NamedTuple):
    """Prompts with N answers each."""

    log_reference: Float[Array, "B N"]
    reward: Float[Array, "B N"]
    beta: float


def drawn(key, beta: float, prompts: int = 8, answers: int = 6) -> Problem:
    """A problem with a random reference and rewards of standard deviation 1."""
    logits, reward = jax.random.normal(key, (2, prompts, answers))
    return Problem(jax.nn.log_softmax(logits, -1), reward, beta)


def optimum(problem: Problem) -> tuple[Float[Array, "B N"], Float[Array, "B 1"]]:
    """log pi* and log Z."""
    unnormalised = problem.log_reference + problem.reward / problem.beta
    log_z = jax.nn.logsumexp(unnormalised, -1, keepdims=True)
    return unnormalised - log_z, log_z


def expected_loss(log_policy: Float[Array, "B N"], problem: Problem) -> Float[Array, ""]:
    """The loss of DPO over all pairs of answers and the exact distribution of preferences."""
    ratio = log_policy - problem.log_reference
    first, second = jnp.broadcast_arrays(ratio[:, :, None], ratio[:, None, :])
    preferred = jax.nn.sigmoid(problem.reward[:, :, None] - problem.reward[:, None, :])
    losses = dpo_loss(first.reshape(-1), second.reshape(-1), problem.beta)
    return jnp.mean(preferred.reshape(-1) * losses)


def reached(problem: Problem, steps: int = 2000) -> dict[str, float]:
    """DPO by gradient descent from the reference, beside the closed form.

    `total_variation` is the largest distance of a policy to pi*; `reward_gap` the largest error of
    r = beta log pi / pi_ref + beta log Z; `start_variation` the distance of the reference.
    """
    loss = lambda logits, key: expected_loss(jax.nn.log_softmax(logits, -1), problem)
    tx = optax.adam(optax.cosine_decay_schedule(0.1, steps))
    logits, _ = jax.jit(
        lambda logits: descend(loss, tx, logits, jax.random.split(jax.random.key(0), steps))
    )(problem.log_reference)
    log_best, log_z = optimum(problem)
    log_policy = jax.nn.log_softmax(logits, -1)
    distance = lambda a, b: 0.5 * jnp.max(jnp.sum(jnp.abs(jnp.exp(a) - jnp.exp(b)), -1))
    implied = problem.beta * (log_policy - problem.log_reference + log_z)
    return {
        "total_variation": float(distance(log_policy, log_best)),
        "start_variation": float(distance(problem.log_reference, log_best)),
        "reward_gap": float(jnp.max(jnp.abs(implied - problem.reward))),
    }
