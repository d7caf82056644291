"""Rotary position embeddings as a fused kernel; the backward pass turns back.

Command: panorax run hardware/rope_kernel
"""

from panorax.core.claims import Claim
from panorax.hardware.kernel import GRADIENTS, PROVEN, Config

CLAIMS = (
    Claim(
        "unfused_over_least", ">", 5, "Panorax: unfused rotation moves at least 5 times the bytes"
    ),
    *PROVEN,
    *GRADIENTS,
)
ORACLE = "the definition in float64"


def get_config() -> Config:
    return Config("rope")


def smoke() -> Config:
    return Config("rope", cases=1)
