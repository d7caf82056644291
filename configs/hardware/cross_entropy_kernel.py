"""Linear cross-entropy, which never holds the logits of all tokens.

Command: panorax run hardware/cross_entropy_kernel
"""

from panorax.hardware.kernel import Config

CLAIMS = ()
ORACLE = "the definition in float64"


def get_config() -> Config:
    return Config("cross_entropy")


def smoke() -> Config:
    return Config("cross_entropy", cases=1)
