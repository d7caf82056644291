"""RMS norm as a fused kernel, with the gradient of its scale.

Command: panorax run hardware/rms_norm_kernel
"""

from panorax.hardware.kernel import Config

CLAIMS = ()
ORACLE = "the definition in float64"


def get_config() -> Config:
    return Config("rms_norm")


def smoke() -> Config:
    return Config("rms_norm", cases=1)
