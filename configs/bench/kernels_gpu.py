"""Kernels of `pallas_kernels` on one H200, forward and backward, beside XLA and four libraries.

Competitors: torch 2.13.0 with attention by cuDNN, attention by cuDNN in `jax.nn`, attention in
jax's own Mosaic kernel, and tokamax where it is installed (`pip install tokamax`). The ceilings are
a bfloat16 product of 8,192 rows and a copy of 1 GiB in the same run.
Command: panorax bench bench/kernels_gpu (needs one H200 and `pip install -e .[bench,gpu]`)
"""

from panorax.bench.kernels import CONTENDERS, Config, word
from panorax.core.claims import Claim

MEMORY = (
    ("vector_add", "256M elements"),
    ("softmax", "attention rows, 4k keys"),
    ("rms_norm", "llama3 8B, 8k tokens"),
    ("layer_norm", "gpt2, 32k tokens"),
    ("rope", "llama3 8B queries, 8k"),
    ("swiglu", "llama3 8B, 8k tokens"),
)
ATTENTION = (
    ("flash_attention", "llama3 8B, 8k tokens"),
    ("flash_attention", "16k tokens, not causal"),
)
OTHERS = (
    ("cross_entropy", "gpt2, 16k tokens"),
    ("matmul", "square, float16"),
    ("paged_attention", "llama3 8B, 64 sequences of 4k tokens"),
    ("grouped_matmul", "Mixtral 8x7B up, 8k tokens, top 2"),
    ("quant_matmul", "llama3 8B up, NF4, 1 token"),
)
CASES = (*MEMORY, *ATTENTION, *OTHERS)
SHARES = {
    **{word(*case): 0.85 for case in MEMORY},
    word("matmul", "square, float16"): 0.9,
    word("paged_attention", "llama3 8B, 64 sequences of 4k tokens"): 0.8,
}
CLAIMS = (
    *(
        Claim(f"{name}_share", ">=", share, "Panorax: share of what the measured roof allows")
        for name, share in SHARES.items()
    ),
    *(
        Claim(
            f"{word(*case)}_panorax_ratio",
            ">=",
            f"{word(*case)}_cudnn_ratio",
            "Panorax: forward and backward at least as fast as cuDNN",
        )
        for case in ATTENTION
    ),
)
BACKEND = "gpu"


def get_config() -> Config:
    return Config(
        cases=CASES,
        contenders=tuple(CONTENDERS),
        matrix=8192,
        dtype="bfloat16",
        copy=1024,
        backend=BACKEND,
    )


def quick() -> Config:
    """One small case on a CPU."""
    return Config(cases=(("softmax", "odd width"),), contenders=("panorax", "xla"), rounds=3)
