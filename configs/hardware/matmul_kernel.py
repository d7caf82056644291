"""Tiled matrix product on tensor cores, with bias, activation and residual.

Command: panorax run hardware/matmul_kernel
"""

from panorax.hardware.kernel import GRADIENTS, PROVEN, Config

CLAIMS = (*PROVEN, *GRADIENTS)
ORACLE = "the definition in float64"


def get_config() -> Config:
    return Config("matmul")


def smoke() -> Config:
    return Config("matmul", cases=1)
