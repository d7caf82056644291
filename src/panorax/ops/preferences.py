"""Losses of preferences between two answers, as functions of their log-probabilities.

An answer y to a prompt x has the summed log-probability log pi(y | x), or its average per token,
which the docstrings name. A log ratio is log pi(y | x) - log pi_ref(y | x), summed if not stated.
Losses are per pair, or per answer, and in float32. The reference is a constant, without gradient.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from panorax.ops.losses import cross_entropy
from panorax.ops.unembedding import Unembedding


def answer_log_probs(
    logits: Float[Array, "B T V"] | Unembedding,
    label_BT: Array,
    weight_BT: Float[Array, "B T"],
) -> Float[Array, " B"]:
    """Summed log-probability of the labels of weight 1 in each row, in nats."""
    logits = logits.logits() if isinstance(logits, Unembedding) else logits
    return -jnp.sum(cross_entropy(logits, label_BT) * weight_BT, 1)


def dpo_loss(
    chosen: Float[Array, " B"], rejected: Float[Array, " B"], beta: float, smoothing: float = 0.0
) -> Float[Array, " B"]:
    """-(1 - s) log sigmoid(beta d) - s log sigmoid(-beta d), with d = chosen - rejected.

    chosen, rejected: log ratios, summed over tokens.  smoothing: s, the probability that a label is
    wrong (conservative DPO); 0 is DPO.
    Source: Rafailov et al. 2023, arXiv:2305.18290, equation 7; Mitchell 2023 for s.
    """
    margin = beta * (chosen - rejected)
    return (1 - smoothing) * jax.nn.softplus(-margin) + smoothing * jax.nn.softplus(margin)


def ipo_loss(
    chosen: Float[Array, " B"], rejected: Float[Array, " B"], beta: float
) -> Float[Array, " B"]:
    """(chosen - rejected - 1 / (2 beta))^2.

    chosen, rejected: log ratios, averaged over the tokens of their answer as in trl. Sums, as the
    equation of the paper has them, would make the loss grow with the length.
    Source: Azar et al. 2023, arXiv:2310.12036, equation 17.
    """
    return jnp.square(chosen - rejected - 1 / (2 * beta))


def mismatched_kl(log_ratio: Float[Array, " B"]) -> Float[Array, ""]:
    """KTO's estimate of KL(pi | pi_ref): the mean log ratio of answers to other prompts.

    It is at least 0 and has no gradient.
    Source: Ethayarajh et al. 2024, arXiv:2402.01306, section 4.1.
    """
    return jax.lax.stop_gradient(jnp.maximum(jnp.mean(log_ratio), 0.0))


def kto_loss(
    log_ratio: Float[Array, " B"], kl: Float[Array, ""], is_desirable: bool, beta: float
) -> Float[Array, " B"]:
    """1 - sigmoid(beta (log ratio - kl)) for desirable answers, 1 - sigmoid(beta (kl - log ratio))
    for the others; answers need no partner.

    kl: reference point, such as `mismatched_kl`. Log ratios are summed over tokens.
    Source: Ethayarajh et al. 2024, arXiv:2402.01306, equation 8.
    """
    sign = 1.0 if is_desirable else -1.0
    return jax.nn.sigmoid(-beta * sign * (log_ratio - kl))


def log_odds(average: Float[Array, " B"]) -> Float[Array, " B"]:
    """log p / (1 - p) of p = exp(average), the mean log-probability of a token; p < 1."""
    return average - jnp.log(-jnp.expm1(average))


def orpo_loss(
    chosen: Float[Array, " B"], rejected: Float[Array, " B"], beta: float
) -> Float[Array, " B"]:
    """-chosen - beta log sigmoid(log_odds(chosen) - log_odds(rejected)), without a reference.

    chosen, rejected: log-probabilities under the policy, averaged over tokens. The first term is
    the supervised loss of the chosen answer.
    Source: Hong et al. 2024, arXiv:2403.07691, equations 6 and 7.
    """
    return -chosen + beta * jax.nn.softplus(log_odds(rejected) - log_odds(chosen))


def simpo_loss(
    chosen: Float[Array, " B"], rejected: Float[Array, " B"], beta: float, margin: float
) -> Float[Array, " B"]:
    """-log sigmoid(beta (chosen - rejected) - margin), without a reference.

    chosen, rejected: log-probabilities under the policy, averaged over tokens.
    Source: Meng et al. 2024, arXiv:2405.14734, equation 6.
    """
    return jax.nn.softplus(margin - beta * (chosen - rejected))
