"""Softmax as a fused kernel, the course's example: forward and backward, any row length.

Command: panorax run hardware/softmax_kernel
"""

from panorax.hardware.kernel import Config

CLAIMS = ()
ORACLE = "the definition in float64"


def get_config() -> Config:
    return Config("softmax")


def smoke() -> Config:
    return Config("softmax", cases=1)
