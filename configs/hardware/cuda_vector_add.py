"""Vector addition, the first kernel: Pallas, and the same in CUDA C++, Triton and Numba.

Command: panorax run hardware/cuda_vector_add
"""

from panorax.core.claims import Claim
from panorax.hardware.kernel import PROVEN, Config

CLAIMS = (
    Claim(
        "operations_per_byte",
        "<",
        0.1,
        "Panorax: an addition for twelve bytes, so that memory is the limit",
    ),
    *PROVEN,
)
ORACLE = "the definition in float64"


def get_config() -> Config:
    return Config("vector_add")


def smoke() -> Config:
    return Config("vector_add", cases=1)
