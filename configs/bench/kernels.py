"""Operations with a blockwise version on a CPU, forward and backward, beside XLA and PyTorch eager.

Attention, linear cross-entropy and products of experts need less memory than their definitions. On
a CPU the other operations run their definitions. Competitor: torch 2.13.0, where it has a kernel.
Command: panorax bench bench/kernels (needs `pip install 'panorax[bench]'`)
"""

from panorax.bench.kernels import Config, word
from panorax.core.claims import Claim

CASES = (
    ("flash_attention", "4 heads, 2k tokens"),
    ("cross_entropy", "1k tokens, 16k classes"),
    ("grouped_matmul", "8 experts, 2k tokens"),
    ("paged_attention", "8 sequences of 1k tokens"),
)
KINDS = (
    ("panorax_ratio", ">=", 0.9, "a blockwise version is at most 10% slower than the definition"),
    ("temporaries_ratio", ">", 3, "a blockwise version needs at most a third of the temporaries"),
    ("error", "<", 1e-6, "results and gradients equal the definition's within 1e-6"),
)
CLAIMS = tuple(
    Claim(f"{word(*case)}_{kind}", relation, bound, f"Panorax: {text}")
    for case in CASES[:2]
    for kind, relation, bound, text in KINDS
)


def get_config() -> Config:
    return Config(cases=CASES)


def quick() -> Config:
    """The size of `panorax bench --check`."""
    return Config(cases=CASES[:2], rounds=3)
