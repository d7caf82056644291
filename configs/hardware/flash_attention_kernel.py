"""FlashAttention in three stages, 2022 to 2024: attention without a matrix of logits.

Command: panorax run hardware/flash_attention_kernel
"""

from panorax.core.claims import Claim
from panorax.hardware.kernel import GRADIENTS, PROVEN, Config

CLAIMS = (
    Claim(
        "temporaries_over_blockwise",
        ">",
        10,
        "Dao et al. 2022, section 3.1: memory is linear; with gradients a tenth at 2,048 tokens",
    ),
    *PROVEN,
    *GRADIENTS,
)
ORACLE = "the definition in float64"


def get_config() -> Config:
    return Config("flash_attention")


def smoke() -> Config:
    return Config("flash_attention", cases=1)
