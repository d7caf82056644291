"""Group-relative policy optimisation: advantages within groups, clipped losses and their means.

A group is G completions of one prompt, with rewards r. Rows of the losses are completions, (B, T)
their tokens; `weight` is 1 for tokens that count, up to the end token, and 0 after it.
Source: Shao et al. 2024, arXiv:2402.03300 (GRPO).
"""

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from panorax.ops.losses import weighted_mean

Scale = Literal["group", "batch", "none"]
Level = Literal["token", "sequence"]
Aggregation = Literal["grpo", "bnpo", "dapo", "dr_grpo"]


def group_advantages(
    reward: Float[Array, "N G"], scale: Scale = "group", epsilon: float = 1e-4
) -> Float[Array, "N G"]:
    """(r - mean of the group) / (s + epsilon).

    scale: s is the standard deviation of the group's rewards (group) or of all rewards (batch).
        With "none" the difference is not divided (Liu et al. 2025, arXiv:2503.20783).
    epsilon: 1e-4 in trl, 1e-6 in tunix.
    Standard deviations have the divisor n - 1. A group of equal rewards has the advantages 0.
    """
    centred = reward - jnp.mean(reward, 1, keepdims=True)
    if scale == "none":
        return centred
    deviation = jnp.std(reward, 1 if scale == "group" else None, ddof=1, keepdims=True)
    return centred / (deviation + epsilon)


def clipped_policy_loss(
    log_prob: Float[Array, "B T"],
    old: Float[Array, "B T"],
    advantage: Float[Array, " B"],
    weight: Float[Array, "B T"],
    level: Level,
    low: float,
    high: float,
) -> tuple[Float[Array, "B T"], Float[Array, "B T"]]:
    """-min(w A, clip(w, 1 - low, 1 + high) A) of each token, and 1 where the clip is active.

    level: w is the ratio pi / pi_old of each token (token), or exp of the mean log ratio of the
    completion's tokens (sequence; GSPO, Zheng et al. 2025, arXiv:2507.18071).
    """
    log_ratio = log_prob - old
    if level == "sequence":
        length = jnp.maximum(jnp.sum(weight, 1, keepdims=True), 1)
        mean = jnp.sum(log_ratio * weight, 1, keepdims=True) / length
        log_ratio = jnp.broadcast_to(mean, log_ratio.shape)
    ratio, A = jnp.exp(log_ratio), advantage[:, None]
    plain, clipped = ratio * A, jnp.clip(ratio, 1 - low, 1 + high) * A
    return -jnp.minimum(plain, clipped), (clipped < plain).astype(jnp.float32)


def reference_kl(
    log_prob: Float[Array, "B T"], reference: Float[Array, "B T"]
) -> Float[Array, "B T"]:
    """k3 = pi_ref / pi - log(pi_ref / pi) - 1 of each token, an estimate of KL(pi | pi_ref).

    It is at least 0, and unbiased for tokens of pi. Source: Schulman 2020, "Approximating KL
    divergence"; Shao et al. 2024, equation 4.
    """
    gap = reference - log_prob
    return jnp.exp(gap) - gap - 1


def aggregated(
    loss: Float[Array, "B T"],
    weight: Float[Array, "B T"],
    how: Aggregation,
    mean_tokens: Float[Array, ""],
) -> Float[Array, ""]:
    """The mean of the losses of all tokens, as implementations of GRPO differ in it.

    grpo      mean over completions of the mean over their tokens
    bnpo      sum over tokens, divided by their number in these rows
    dapo      sum over tokens, divided by their expected number B `mean_tokens`; `mean_tokens` is
              the mean number of tokens of a row in the whole batch, of which these are a part
    dr_grpo   sum over tokens, divided by the largest number B T, so that the length of a completion
              has no influence

    Sources: Shao et al. 2024; Yu et al. 2025, arXiv:2503.14476; Liu et al. 2025, arXiv:2503.20783.
    """
    total, B = jnp.sum(loss * weight), len(loss)
    if how == "grpo":
        return jnp.mean(jnp.sum(loss * weight, 1) / jnp.maximum(jnp.sum(weight, 1), 1))
    if how == "bnpo":
        return weighted_mean(loss, weight)
    return total / (B * (mean_tokens if how == "dapo" else loss.shape[1]))
