"""Kernels of `pallas_kernels` on a CPU, forward and backward, beside XLA and PyTorch eager.

Only operations with a blockwise version are compared here: the others run the definition on a CPU.
Command: panorax bench bench/kernels (needs `pip install 'panorax[bench]'`)
"""

from panorax.bench.kernels import Config

CLAIMS = ()


def get_config() -> Config:
    return Config(cases=(("softmax", "16k rows of 1024"),))


def quick() -> Config:
    """The size of `panorax bench --check`."""
    return get_config()
