"""Calibration of predicted probabilities."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def calibration_error(
    p_NV: Float[Array, "N V"], label_N: Int[Array, " N"], bins: int
) -> Float[Array, ""]:
    """Expected calibration error over equal bins of the confidence max_v p.

    It is the sum over bins of |number correct - sum of confidences|, divided by N. A bin includes
    its upper end. Raises ValueError unless the shapes are (N, V) and (N,) with N at least 1.
    Source: Naeini et al. 2015; Guo et al. 2017 (arXiv:1706.04599).
    """
    if p_NV.ndim != 2 or p_NV.shape[:1] != label_N.shape or not len(label_N):
        raise ValueError(
            f"probabilities must be (N, V) with N labels, got {p_NV.shape} and {label_N.shape}"
        )
    confidence, correct = jnp.max(p_NV, 1), jnp.argmax(p_NV, 1) == label_N
    bin_of = jnp.clip(jnp.ceil(confidence * bins).astype(jnp.int32) - 1, 0, bins - 1)
    excess = jax.ops.segment_sum(correct - confidence, bin_of, bins)
    return jnp.sum(jnp.abs(excess)) / len(label_N)
