"""Linear cross-entropy, which never holds the logits of all tokens.

Command: panorax run hardware/cross_entropy_kernel
"""

from panorax.core.claims import Claim
from panorax.hardware.kernel import GRADIENTS, PROVEN, Config

CLAIMS = (
    Claim(
        "temporaries_over_blockwise",
        ">",
        3,
        "Panorax: without all logits, temporaries of loss and gradients are at most a third",
    ),
    *PROVEN,
    *GRADIENTS,
)
ORACLE = "the definition in float64"


def get_config() -> Config:
    return Config("cross_entropy")


def smoke() -> Config:
    return Config("cross_entropy", cases=1)
