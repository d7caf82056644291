"""Product of each expert's rows with its own matrix, forward and backward.

Command: panorax run hardware/grouped_matmul_kernel
"""

from panorax.core.claims import Claim
from panorax.hardware.kernel import GRADIENTS, PROVEN, Config

CLAIMS = (
    Claim(
        "temporaries_over_blockwise",
        ">",
        1.5,
        "Panorax: groups in blocks need less memory than a copy of the matrix for each row",
    ),
    *PROVEN,
    *GRADIENTS,
)
ORACLE = "the definition in float64"


def get_config() -> Config:
    return Config("grouped_matmul")


def smoke() -> Config:
    return Config("grouped_matmul", cases=1)
