"""SwiGLU and GeGLU as fused kernels, forward and backward.

Command: panorax run hardware/swiglu_kernel
"""

from panorax.core.claims import Claim
from panorax.hardware.kernel import GRADIENTS, PROVEN, Config

CLAIMS = (
    Claim(
        "unfused_over_least",
        ">",
        2.5,
        "Panorax: an unfused gate moves at least 2.5 times the bytes",
    ),
    *PROVEN,
    *GRADIENTS,
)
ORACLE = "the definition in float64"


def get_config() -> Config:
    return Config("swiglu")


def smoke() -> Config:
    return Config("swiglu", cases=1)
