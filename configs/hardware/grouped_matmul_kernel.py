"""Product of each expert's rows with its own matrix, forward and backward.

Command: panorax run hardware/grouped_matmul_kernel
"""

from panorax.hardware.kernel import Config

CLAIMS = ()
ORACLE = "the definition in float64"


def get_config() -> Config:
    return Config("grouped_matmul")


def smoke() -> Config:
    return Config("grouped_matmul", cases=1)
