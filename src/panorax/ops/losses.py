"""Losses in nats and float32, per element except where the name or docstring says mean."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped


def cross_entropy(
    logits: Float[Array, "*batch V"], label: Int[Array, "*batch"]
) -> Float[Array, "*batch"]:
    """-log softmax(logits)[label]."""
    logits = logits.astype(jnp.float32)
    picked = jnp.take_along_axis(logits, label[..., None], -1)[..., 0]
    return jax.nn.logsumexp(logits, -1) - picked


def next_token_loss(
    logits_BTV: Float[Array, "B T V"], tokens_BT1: Int[Array, "B T1"]
) -> Float[Array, ""]:
    """Mean cross entropy of tokens 1 .. T of T + 1; `logits_BTV[:, t]` predicts token t + 1."""
    return jnp.mean(cross_entropy(logits_BTV, tokens_BT1[:, 1:]))


def smoothed_cross_entropy(
    logits: Float[Array, "*batch V"], label: Int[Array, "*batch"], smoothing: float
) -> Float[Array, "*batch"]:
    """Cross entropy with the target (1 - smoothing) onehot(label) + smoothing / V.

    Source: Szegedy et al. 2015, arXiv:1512.00567, section 7.
    """
    logits = logits.astype(jnp.float32)
    uniform = jax.nn.logsumexp(logits, -1) - jnp.mean(logits, -1)
    return (1 - smoothing) * cross_entropy(logits, label) + smoothing * uniform


def binary_cross_entropy(
    logit: Float[Array, "*batch"], label: Float[Array, "*batch"]
) -> Float[Array, "*batch"]:
    """-y log p - (1 - y) log(1 - p) with p = sigmoid(logit) and y in [0, 1].

    The result is finite for every finite logit.
    """
    logit = logit.astype(jnp.float32)
    return jax.nn.softplus(logit) - label * logit


def focal(
    logit: Float[Array, "*batch"],
    label: Float[Array, "*batch"],
    gamma: float = 2.0,
    alpha: float = 0.25,
) -> Float[Array, "*batch"]:
    """-a_y (1 - p_y)^gamma log p_y with the probability p_y of the label y, which is 0 or 1.

    a_1 = alpha and a_0 = 1 - alpha. Examples that are classified well have little weight.
    Source: Lin et al. 2017, arXiv:1708.02002, equation 5.
    """
    nll = binary_cross_entropy(logit, label)
    missed = jnp.exp(-binary_cross_entropy(logit, 1 - label))  # 1 - p_y
    return jnp.where(label == 1, alpha, 1 - alpha) * missed**gamma * nll


def gaussian_nll(
    y: Float[Array, "*batch"], mean: Float[Array, "*batch"], log_variance: Float[Array, "*batch"]
) -> Float[Array, "*batch"]:
    """-log N(y; mean, exp(log_variance))."""
    return 0.5 * (
        jnp.square(y - mean) * jnp.exp(-log_variance) + log_variance + jnp.log(2 * jnp.pi)
    )


def categorical_kl(
    p_logits: Float[Array, "*batch V"], q_logits: Float[Array, "*batch V"]
) -> Float[Array, "*batch"]:
    """KL(p | q) = sum p (log p - log q) with p and q the softmax of their logits.

    An outcome with logit -inf under p contributes 0.
    """
    log_p, log_q = (
        jax.nn.log_softmax(logits.astype(jnp.float32), -1) for logits in (p_logits, q_logits)
    )
    p = jnp.exp(log_p)
    return jnp.sum(jnp.where(p > 0, p * (jnp.where(p > 0, log_p, 0) - log_q), 0), -1)


def jensen_shannon(
    p_logits: Float[Array, "*batch V"], q_logits: Float[Array, "*batch V"], beta: float
) -> Float[Array, "*batch"]:
    """beta KL(p | m) + (1 - beta) KL(q | m) with m = beta p + (1 - beta) q, for 0 < beta < 1.

    At beta = 1/2 it is the Jensen-Shannon divergence, at most log 2. Divided by beta it tends to
    KL(p | q) for beta to 0, and divided by 1 - beta to KL(q | p) for beta to 1.
    Source: Agarwal et al. 2024, arXiv:2306.13649, section 2.
    """
    log_p, log_q = (
        jax.nn.log_softmax(logits.astype(jnp.float32), -1) for logits in (p_logits, q_logits)
    )
    log_m = jnp.logaddexp(log_p + jnp.log(beta), log_q + jnp.log1p(-beta))
    return beta * categorical_kl(log_p, log_m) + (1 - beta) * categorical_kl(log_q, log_m)


def weighted_mean(x: Shaped[Array, "*shape"], weight: Shaped[Array, "*shape"]) -> Float[Array, ""]:
    """sum(x * weight) / sum(weight), or 0 if all weights are 0."""
    weight = weight.astype(jnp.float32)
    return jnp.sum(x.astype(jnp.float32) * weight) / jnp.maximum(jnp.sum(weight), 1e-30)
