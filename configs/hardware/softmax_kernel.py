"""Softmax as a fused kernel, the course's example: forward and backward, any row length.

Command: panorax run hardware/softmax_kernel
"""

from panorax.core.claims import Claim
from panorax.hardware.kernel import GRADIENTS, PROVEN, Config

CLAIMS = (
    Claim(
        "unfused_over_least",
        ">",
        3.9,
        "Triton tutorial on fused softmax: unfused softmax moves about four times the bytes",
    ),
    *PROVEN,
    *GRADIENTS,
)
ORACLE = "the definition in float64"


def get_config() -> Config:
    return Config("softmax")


def smoke() -> Config:
    return Config("softmax", cases=1)
