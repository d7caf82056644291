"""Layer norm as a fused kernel, with the gradients of scale and bias.

Command: panorax run hardware/layer_norm_kernel
"""

from panorax.hardware.kernel import Config

CLAIMS = ()
ORACLE = "the definition in float64"


def get_config() -> Config:
    return Config("layer_norm")


def smoke() -> Config:
    return Config("layer_norm", cases=1)
