"""Layer norm as a fused kernel, with the gradients of scale and bias.

Command: panorax run hardware/layer_norm_kernel
"""

from panorax.core.claims import Claim
from panorax.hardware.kernel import GRADIENTS, PROVEN, Config

CLAIMS = (
    Claim(
        "unfused_over_least",
        ">",
        5.9,
        "Panorax: unfused layer norm moves at least 5.9 times the bytes",
    ),
    *PROVEN,
    *GRADIENTS,
)
ORACLE = "the definition in float64"


def get_config() -> Config:
    return Config("layer_norm")


def smoke() -> Config:
    return Config("layer_norm", cases=1)
