"""Product with a matrix in int8, int4, NF4 or ternary, dequantised in the kernel.

Command: panorax run hardware/quantised_matmul_kernel
"""

from panorax.hardware.kernel import Config

CLAIMS = ()
ORACLE = "the definition in float64"


def get_config() -> Config:
    return Config("quant_matmul")


def smoke() -> Config:
    return Config("quant_matmul", cases=1)
