"""SwiGLU and GeGLU as fused kernels, forward and backward.

Command: panorax run hardware/swiglu_kernel
"""

from panorax.hardware.kernel import Config

CLAIMS = ()
ORACLE = "the definition in float64"


def get_config() -> Config:
    return Config("swiglu")


def smoke() -> Config:
    return Config("swiglu", cases=1)
