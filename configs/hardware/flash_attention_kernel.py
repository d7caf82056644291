"""FlashAttention in three stages, 2022 to 2024: attention without a matrix of logits.

Command: panorax run hardware/flash_attention_kernel
"""

from panorax.hardware.kernel import Config

CLAIMS = ()
ORACLE = "the definition in float64"


def get_config() -> Config:
    return Config("flash_attention")


def smoke() -> Config:
    return Config("flash_attention", cases=1)
