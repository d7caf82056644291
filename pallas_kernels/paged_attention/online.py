"""Softmax of a row that arrives in tiles, and the merge of the results of several parts of a row.

Source: Milakov & Gimelshein 2018, arXiv:1805.02867 (online softmax).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from pallas_kernels.launch import dot


class Running(NamedTuple):
    """Attention of R queries over the keys so far."""

    top: jax.Array
    """largest logit, float32 [R, 1]"""
    total: jax.Array
    """sum of e^(logit - top), float32 [R, 1]"""
    out: jax.Array
    """sum of e^(logit - top) v, float32 [R, K]"""


def nothing(R: int, K: int) -> Running:
    """Attention over no key."""
    zero = jnp.zeros((R, 1), jnp.float32)
    return Running(zero - jnp.inf, zero, jnp.zeros((R, K), jnp.float32))


def extend(running: Running, logits: jax.Array, v: jax.Array) -> Running:
    """Adds keys with logits [R, N], -inf if masked, and values [N, K].

    If the top rises, older terms shrink by e^(old top - new top).
    """
    top = jnp.maximum(running.top, jnp.max(logits, 1, keepdims=True))
    finite = jnp.where(top == -jnp.inf, 0.0, top)
    shrink = jnp.exp(running.top - finite)
    p = jnp.exp(logits - finite)
    total = running.total * shrink + jnp.sum(p, 1, keepdims=True)
    return Running(top, total, running.out * shrink + dot(p.astype(v.dtype), v))


def finish(running: Running) -> tuple[jax.Array, jax.Array]:
    """Output [R, K] and log-sum-exp [R, 1]; 0 and -inf without a key."""
    return _quotient(running.out, running.total), running.top + jnp.log(running.total)


def combine(outs: jax.Array, lses: jax.Array, axis: int) -> tuple[jax.Array, jax.Array]:
    """Merges outputs over disjoint keys along `axis`: sum_i e^(lse_i - lse) out_i, and lse.

    outs: [..., K].  lses: the log-sum-exp of the logits, [..., 1].
    """
    top = jnp.max(lses, axis, keepdims=True)
    weights = jnp.exp(lses - jnp.where(top == -jnp.inf, 0.0, top))
    total = jnp.sum(weights, axis)
    out = _quotient(jnp.sum(weights * outs, axis), total)
    return out, jnp.squeeze(top, axis) + jnp.log(total)


def _quotient(x, total):
    return x / jnp.where(total == 0, 1.0, total)
