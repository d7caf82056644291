"""Competitors: kernels that other JAX libraries have for a GPU, forward and backward.

None falls back to XLA: what a library cannot run raises its reason.
"""

import functools
from collections.abc import Callable
from pathlib import Path

import jax

from panorax.bench.kernels import chosen, timed


def cudnn_attention(q_BTHK, k_BSGK, v_BSGK, causal=False):
    """cuDNN's attention, as `jax.nn` calls it."""
    return jax.nn.dot_product_attention(
        q_BTHK, k_BSGK, v_BSGK, is_causal=causal, implementation="cudnn"
    )


def mosaic_attention(q_BTHK, k_BSGK, v_BSGK, causal=False):
    """FlashAttention-3 of `jax.experimental.pallas.ops`, which leaves the scale to its caller."""
    from jax.experimental.pallas.ops.gpu import attention_mgpu

    backward = dict.fromkeys(("block_q_dkv", "block_kv_dkv", "block_q_dq", "block_kv_dq"), 64)
    tuning = attention_mgpu.TuningConfig(
        block_q=64, block_kv=128, max_concurrent_steps=2, causal=causal, **backward
    )
    scaled_BTHK = q_BTHK * q_BTHK.shape[-1] ** -0.5
    return attention_mgpu.attention(scaled_BTHK, k_BSGK, v_BSGK, tuning)


def tokamax_attention(q_BTHK, k_BSGK, v_BSGK, causal=False):
    """The kernel of tokamax in Mosaic, or in Triton if Mosaic refuses."""
    import tokamax

    return tokamax.dot_product_attention(
        q_BTHK, k_BSGK, v_BSGK, is_causal=causal, implementation=("mosaic", "triton")
    )


def tokamax_norm(x, scale, bias=None, eps=1e-6):
    """Layer norm of tokamax in Triton; RMS norm without a bias."""
    import tokamax

    options = {"epsilon": eps, "subtract_mean": bias is not None, "implementation": "triton"}
    return tokamax.layer_norm(x, scale, bias, **options)


def tokamax_ragged_dot(x, w, group_sizes):
    """Products of groups of rows by tokamax in Mosaic, or in Triton if Mosaic refuses."""
    import tokamax

    return tokamax.ragged_dot(x, w, group_sizes, implementation=("mosaic", "triton"))


def contender(operations: dict[str, Callable], setting: dict, folder: Path):
    """Facts and work of an operation."""
    operation, case = chosen(setting)
    return timed(operation, case, operations[setting["operation"]])[:2]


cudnn = functools.partial(contender, {"flash_attention": cudnn_attention})
jax_mosaic = functools.partial(contender, {"flash_attention": mosaic_attention})
tokamax_kernel = functools.partial(
    contender,
    {
        "flash_attention": tokamax_attention,
        "grouped_matmul": tokamax_ragged_dot,
        "layer_norm": tokamax_norm,
        "rms_norm": tokamax_norm,
    },
)
