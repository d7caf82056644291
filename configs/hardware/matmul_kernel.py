"""Tiled matrix product on tensor cores, with bias, activation and residual.

Command: panorax run hardware/matmul_kernel
"""

from panorax.core.claims import Claim
from panorax.hardware.kernel import PROVEN, Config

CLAIMS = (
    Claim(
        "operations_per_byte",
        ">",
        100,
        "Panorax: a product of 1,024 rows does over 100 operations a byte",
    ),
    *PROVEN,
)
ORACLE = "the definition in float64"


def get_config() -> Config:
    return Config("matmul")


def smoke() -> Config:
    return Config("matmul", cases=1)
