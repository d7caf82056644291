"""Operations with a blockwise version on a CPU, forward and backward, beside XLA and PyTorch eager.

Attention, linear cross-entropy and products of experts need less memory than their definitions. On
a CPU the other operations run their definitions. Competitor: torch 2.13.0, where it has a kernel.
Command: panorax bench bench/kernels (needs `pip install 'panorax[bench]'`)
"""

from panorax.bench.kernels import Config

CASES = (
    ("flash_attention", "4 heads, 2k tokens"),
    ("cross_entropy", "1k tokens, 16k classes"),
    ("grouped_matmul", "8 experts, 2k tokens"),
    ("paged_attention", "8 sequences of 1k tokens"),
)
CLAIMS = ()


def get_config() -> Config:
    return Config(cases=CASES)


def quick() -> Config:
    """The size of `panorax bench --check`."""
    return Config(cases=CASES[:2], rounds=3)
