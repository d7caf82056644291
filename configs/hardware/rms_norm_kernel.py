"""RMS norm as a fused kernel, with the gradient of its scale.

Command: panorax run hardware/rms_norm_kernel
"""

from panorax.core.claims import Claim
from panorax.hardware.kernel import GRADIENTS, PROVEN, Config

CLAIMS = (
    Claim(
        "unfused_over_least",
        ">",
        3.4,
        "Panorax: unfused RMS norm moves at least 3.4 times the bytes",
    ),
    *PROVEN,
    *GRADIENTS,
)
ORACLE = "the definition in float64"


def get_config() -> Config:
    return Config("rms_norm")


def smoke() -> Config:
    return Config("rms_norm", cases=1)
