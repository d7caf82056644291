"""Causal linear attention: a softmax-free form whose memory of the past has a fixed size.

With positive features f(x) = elu(x) + 1 and a decay g in (0, 1] for each head,

    out_t = sum_{s <= t} g^(t-s) (q_t . k_s) v_s / sum_{s <= t} g^(t-s) (f_t . h_s)

where q and k are the features of queries and keys, rotated by their positions if the scheme rotates
(RoFormer, arXiv:2104.09864, equation 19), and f and h the features before rotation, which keep the
denominator positive. The three forms of the sums are equal:

    parallel    a masked T x T matrix of products, O(T^2)
    recurrent   S_t = g S_(t-1) + k_t v_t^T and out_t = q_t S_t, O(T), one token at a time
    chunked     parallel within chunks of C tokens, recurrent between them, O(T C)

Source: Katharopoulos et al. 2020, arXiv:2006.16236; the decay and the chunked form are those of
RetNet, Sun et al. 2023, arXiv:2307.08621.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from panorax.core import struct

CHUNK = 64


def features(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """elu(x) + 1, in float32."""
    return jax.nn.elu(x.astype(jnp.float32)) + 1


def parallel_sums(
    q_BTHK: Float[Array, "B T H K"],
    k_BTHK: Float[Array, "B T H K"],
    v_BTHV: Float[Array, "B T H V"],
    slopes_H: Float[Array, " H"],
) -> Float[Array, "B T H V"]:
    """sum_{s <= t} g^(t-s) (q_t . k_s) v_s with g = e^-slope, by the matrix of all products."""
    products_BHTS = jnp.einsum("BTHK,BSHK->BHTS", q_BTHK, k_BTHK)
    time = jnp.arange(q_BTHK.shape[1])
    distance_TS = time[:, None] - time[None, :]
    decay_HTS = jnp.exp(-slopes_H[:, None, None] * jnp.maximum(distance_TS, 0)[None])
    weights_BHTS = products_BHTS * jnp.where(distance_TS >= 0, decay_HTS, 0)[None]
    return jnp.einsum("BHTS,BSHV->BTHV", weights_BHTS, v_BTHV)


def chunked_sums(
    q_BTHK: Float[Array, "B T H K"],
    k_BTHK: Float[Array, "B T H K"],
    v_BTHV: Float[Array, "B T H V"],
    slopes_H: Float[Array, " H"],
    state_BHKV: Float[Array, "B H K V"],
    counted_B: Int[Array, " B"],
    chunk: int = CHUNK,
) -> tuple[Float[Array, "B T H V"], Float[Array, "B H K V"]]:
    """The sums of `parallel_sums` after earlier tokens, and the state after the new tokens.

    state_BHKV: sum over earlier tokens of g^(age) k v^T, where the last of them has age 0.
    counted_B: number of first tokens of each row that enter the state; the others are padding.
    chunk: tokens per chunk; 1 is the recurrent form.
    """
    (B, T, H, _), C = q_BTHK.shape, min(chunk, q_BTHK.shape[1])
    N = -(-T // C)

    def chunks(x_BTHK):
        padded = jnp.pad(x_BTHK, ((0, 0), (0, N * C - T), (0, 0), (0, 0)))
        return padded.reshape(B, N, C, H, -1).swapaxes(0, 1)

    after_HC = jnp.exp(
        -slopes_H[:, None] * (1.0 + jnp.arange(C)[None])
    )  # of the state, at each token

    def step(state_BHKV, inputs):
        q_BCHK, k_BCHK, v_BCHV, n = inputs
        counted_B1 = jnp.clip(counted_B - n * C, 0, C)[:, None]
        age_BC = counted_B1 - 1 - jnp.arange(C)[None]  # at the last counted token
        kept_BHC = jnp.exp(-slopes_H[None, :, None] * jnp.maximum(age_BC, 0)[:, None])
        kept_BHC = jnp.where(age_BC[:, None] >= 0, kept_BHC, 0)
        earlier_BCHV = jnp.einsum("BCHK,BHKV,HC->BCHV", q_BCHK, state_BHKV, after_HC)
        added_BHKV = jnp.einsum("BCHK,BCHV,BHC->BHKV", k_BCHK, v_BCHV, kept_BHC)
        fade_BH = jnp.exp(-slopes_H[None] * counted_B1)
        state_BHKV = fade_BH[..., None, None] * state_BHKV + added_BHKV
        return state_BHKV, earlier_BCHV + parallel_sums(q_BCHK, k_BCHK, v_BCHV, slopes_H)

    inputs = (*map(chunks, (q_BTHK, k_BTHK, v_BTHV)), jnp.arange(N))
    state_BHKV, sums = jax.lax.scan(step, state_BHKV, inputs)
    return sums.swapaxes(0, 1).reshape(B, N * C, H, -1)[:, :T], state_BHKV


@struct.dataclass
class Memory:
    """Sums over the past tokens, float32.

    values: sum of g^age k v^T, (B, H, K, V).  weights: sum of g^age h, (B, H, K, 1).
    """

    values: Any
    weights: Any


def linear_attention(
    q_BTHK: Float[Array, "B T H K"],
    k_BTHK: Float[Array, "B T H K"],
    v_BTHV: Float[Array, "B T H V"],
    unrotated: tuple[Float[Array, "B T H K"], Float[Array, "B T H K"]],
    slopes_H: Float[Array, " H"],
    memory: Memory,
    counted_B: Int[Array, " B"],
    chunk: int = CHUNK,
) -> tuple[Float[Array, "B T H V"], Memory]:
    """Values of T new tokens after those in `memory`, float32, and the memory after them.

    q, k: features of queries and keys, rotated.  unrotated: both before rotation, (f, h).
    `chunked_sums` documents the other arguments.
    """
    f_BTHK, h_BTHK = unrotated
    ones_BTH1 = jnp.ones((*v_BTHV.shape[:-1], 1))
    sums = functools.partial(chunked_sums, slopes_H=slopes_H, counted_B=counted_B, chunk=chunk)
    values_BTHV, of_values = sums(q_BTHK, k_BTHK, v_BTHV, state_BHKV=memory.values)
    weights_BTH1, of_weights = sums(f_BTHK, h_BTHK, ones_BTH1, state_BHKV=memory.weights)
    return values_BTHV / jnp.maximum(weights_BTH1, 1e-6), Memory(of_values, of_weights)
