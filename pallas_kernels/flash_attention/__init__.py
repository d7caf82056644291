"""Attention by blocks, which never writes a matrix of logits: FlashAttention in three stages.

    x = cap tanh(scale q k^T / cap) - slope |distance|, and -inf where the mask hides the key
    out = softmax(x) v,    lse = log sum_s e^x

q is [B, T, H, K], k and v are [B, S, G, K]; H / G query heads share a key/value head.

**Tiling.** A block of queries stays on chip while blocks of keys and values stream by. The softmax
runs over the stream by a running maximum m and sum l (`v2.py` has the recurrence). The backward
pass recomputes each block of logits from q, k and lse. Three files divide this work in three ways,
and each states its difference to the one before: `v1.py` of 2022 (implementation triton_v1),
`v2.py` of 2023 (triton and tpu) and `v3.py` of 2024 for Hopper (mosaic).
**Traffic.** Forward: q and out once; k and v once for each block of 128 queries, mostly from the L2
cache. A matrix of logits would write and read 4 T S bytes for each head several times: at 8k tokens
and K = 128 in bf16, 128 times the bytes of q.
**Intensity.** 4 T S K operations a head (half of it if causal) against 4 (T + S) K bytes in bf16:
T S / (T + S), about T / 2 operations a byte. Beyond some hundred tokens the tensor cores are the
limit; their roofline is the rate of a large matmul. Exponentials are the next: one for 4 K
operations, on a unit that is 256 times slower than a Hopper's tensor cores.
"""

import functools

import jax
import jax.numpy as jnp

from pallas_kernels.choice import first_that_runs, portable
from pallas_kernels.flash_attention import v1, v2
from pallas_kernels.flash_attention.mask import Form, Tokens
from pallas_kernels.flash_attention.reference import reference
from pallas_kernels.flash_attention.xla import xla

DTYPES = ("float32", "bfloat16", "float16")


def flash_attention(
    q_BTHK: jax.Array,
    k_BSGK: jax.Array,
    v_BSGK: jax.Array,
    *,
    causal: bool = False,
    window: int | jax.Array | None = None,
    lengths: jax.Array | None = None,
    q_segments: jax.Array | None = None,
    k_segments: jax.Array | None = None,
    q_positions: jax.Array | None = None,
    k_positions: jax.Array | None = None,
    slopes: jax.Array | None = None,
    bias: jax.Array | None = None,
    scale: float | None = None,
    cap: float | None = None,
    return_lse: bool = False,
    implementation: str | None = None,
) -> jax.Array | tuple[jax.Array, jax.Array]:
    """Attention [B, T, H, K] in the dtype of v, and if asked its log-sum-exp [B, H, T], float32.

    A query that sees no key returns 0, its log-sum-exp is -inf, and its gradients are 0.

    causal: a query sees keys up to its own position.
    window: it sees the keys at its last `window` positions only, its own included; needs `causal`.
    lengths: [B] number of keys of each row; what is behind them, even NaN, changes nothing.
    q_segments, k_segments: int [B, T] and [B, S]; a query sees keys of its own segment.
    q_positions, k_positions: nonnegative int [B, T] and [B, S] in any order, B or 1 rows; by
        default 0, 1, 2, ... For decoding behind a cache, give the positions of the queries.
    slopes: [H] of ALiBi, constants without a gradient (Press et al. 2022, arXiv:2108.12409).
    bias: [B or 1, H or 1, T, S], added to the logits; with a gradient, in the reference alone.
    scale: by default 1 / sqrt(K).  cap: soft cap of the logits (Gemma 2, arXiv:2408.00118).
    Differentiable in q, k and v in reverse mode. Kernels sum in float32; like the hardware's matrix
    units they round the weights of the softmax to the dtype of v.
    Raises ValueError if q, k and v do not fit, for a window without causal and for one of the
    segments alone. Raises NotImplementedError if the named implementation cannot run: dtypes that
    differ, heads wider than 256 on a GPU (128 for triton_v1), a group of heads beyond the VMEM of a
    TPU, a bias outside the reference, and for mosaic what `v3.py` states.
    """
    _check(q_BTHK, k_BSGK, v_BSGK)
    if window is not None and not causal:
        raise ValueError("window needs causal=True: it counts back from the query's position")
    if (q_segments is None) != (k_segments is None):
        raise ValueError("q_segments and k_segments are given together or not at all")
    tokens = Tokens(
        q_positions,
        k_positions,
        window,
        lengths,
        q_segments,
        k_segments,
        None if slopes is None else jax.lax.stop_gradient(slopes),
    )
    form = Form(causal, q_BTHK.shape[3] ** -0.5 if scale is None else scale, cap, return_lse)
    arguments = (q_BTHK, k_BSGK, v_BSGK, tokens, form, bias)
    out_BTHK, lse_BHT = first_that_runs(IMPLEMENTATIONS, implementation, *arguments)
    return (out_BTHK, lse_BHT) if return_lse else out_BTHK


def _check(q, k, v):
    B, _, H, K = q.shape
    G = k.shape[2]
    if k.shape != v.shape or (k.shape[0], k.shape[3]) != (B, K):
        raise ValueError(
            f"q is [B, T, H, K], k and v are [B, S, G, K], not {q.shape}, {k.shape} and {v.shape}"
        )
    if G == 0 or H % G:
        raise ValueError(f"{G} key/value heads do not divide {H} query heads")


def _kernel(q, k, v, tokens: Tokens, form: Form, bias, backend: str, version: str = "v2"):
    """A version of the kernels on a backend of `launch`."""
    if bias is not None:
        raise NotImplementedError("kernels add no bias array; the reference does")
    if {q.dtype, k.dtype, v.dtype} not in ({x} for x in map(jnp.dtype, DTYPES)):
        raise NotImplementedError(
            f"kernels have q, k and v of one dtype of {DTYPES}, not {q.dtype}, {k.dtype}, {v.dtype}"
        )
    if 0 in (*q.shape, *k.shape):
        return reference(q, k, v, tokens, form)
    _file(version).check(q, k, tokens, form, backend)
    tokens = tokens if version == "v3" else tokens.placed(q, k)
    return _differentiable(q, k, v, tokens, form, backend, version)


def _file(version: str):
    """The module of a version; that of Mosaic GPU, which takes 0.2 s, is imported when it runs."""
    if version == "v3":
        from pallas_kernels.flash_attention import v3

        return v3
    return {"v1": v1, "v2": v2}[version]


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5, 6))
def _differentiable(q, k, v, tokens, form, backend, version):
    return _file(version).forward(q, k, v, tokens, form, backend)


def _forward(q, k, v, tokens, form, backend, version):
    out, lse = _file(version).forward(q, k, v, tokens, form, backend)
    return (out, lse), (q, k, v, tokens, out, lse)


def _backward(form, backend, version, residuals, cotangents):
    return (*_file(version).backward(residuals, *cotangents, form, backend), None)


_differentiable.defvjp(_forward, _backward)
IMPLEMENTATIONS = {
    "reference": reference,
    "xla": xla,
    **portable(_kernel),
    **{
        f"{name}{where}": functools.partial(_kernel, backend=f"{backend}{where}", version=version)
        for name, backend, version in (("triton_v1", "triton", "v1"), ("mosaic", "mosaic", "v3"))
        for where in ("", "_interpreted")
    },
}
