"""Product with a matrix in int8, int4, NF4 or ternary, dequantised in the kernel.

Command: panorax run hardware/quantised_matmul_kernel
"""

from panorax.core.claims import Claim
from panorax.hardware.kernel import GRADIENTS, PROVEN, Config

CLAIMS = (
    Claim(
        "xla_over_least",
        ">",
        4,
        "Panorax: XLA writes the dequantised matrix to memory, at least 4 times the least bytes",
    ),
    *PROVEN,
    *GRADIENTS,
)
ORACLE = "the definition in float64"


def get_config() -> Config:
    return Config("quant_matmul")


def smoke() -> Config:
    return Config("quant_matmul", cases=1)
