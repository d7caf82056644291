"""Rotary position embeddings as a fused kernel; the backward pass turns back.

Command: panorax run hardware/rope_kernel
"""

from panorax.hardware.kernel import Config

CLAIMS = ()
ORACLE = "the definition in float64"


def get_config() -> Config:
    return Config("rope")


def smoke() -> Config:
    return Config("rope", cases=1)
