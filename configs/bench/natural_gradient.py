"""K-FAC beside Adam, seconds to a loss on a deep autoencoder and on a convolutional classifier of digits.

Competitor: Adam of optax, each method at the best setting of a grid (theory/natural_gradient).
Command: panorax bench bench/natural_gradient      about two minutes on 2 cores
"""

import dataclasses

from panorax.bench.natural_gradient import Config
from panorax.core.claims import Claim

CLAIMS = (
    Claim(
        "autoencoder_panorax_ratio",
        ">=",
        1.0,
        "Martens & Grosse 2015, section 13: the target in less time, where the net is deep and narrow",
    ),
    Claim("autoencoder_largest_loss_over_target", "<", 1.0, "both reach it"),
    Claim("classifier_panorax_ratio", ">=", 1.0, "Grosse & Martens 2016: so with convolutions"),
    Claim("classifier_largest_loss_over_target", "<", 1.0, "both reach it"),
)


def get_config() -> Config:
    return Config()


def quick() -> Config:
    """For the guard."""
    return dataclasses.replace(get_config(), rounds=3)
