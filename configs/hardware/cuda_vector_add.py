"""Vector addition, the first kernel: Pallas, and the same in CUDA C++, Triton and Numba.

Command: panorax run hardware/cuda_vector_add
"""

from panorax.hardware.kernel import GRADIENTS, PROVEN, Config

CLAIMS = (*PROVEN, *GRADIENTS)
ORACLE = "the definition in float64"


def get_config() -> Config:
    return Config("vector_add")


def smoke() -> Config:
    return Config("vector_add", cases=1)
