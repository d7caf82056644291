"""K-FAC beside Adam: seconds to a target loss on a deep autoencoder and a convolutional classifier.

Both train on digits. Competitor: optax's Adam; each method has the best setting of a grid
(theory/natural_gradient).

Command: panorax bench bench/natural_gradient
"""

import dataclasses

from panorax.bench.natural_gradient import Config
from panorax.core.claims import Claim

CLAIMS = (
    Claim(
        "autoencoder_panorax_ratio",
        ">=",
        1.0,
        "Martens & Grosse 2015, section 13: on a deep, narrow autoencoder K-FAC reaches the target"
        " loss in less time than Adam",
    ),
    Claim(
        "autoencoder_largest_loss_over_target",
        "<",
        1.0,
        "Panorax: K-FAC and Adam both reach the target loss of the autoencoder",
    ),
    Claim(
        "classifier_panorax_ratio",
        ">=",
        1.0,
        "Grosse & Martens 2016: on a convolutional classifier K-FAC reaches the target loss in less"
        " time than Adam",
    ),
    Claim(
        "classifier_largest_loss_over_target",
        "<",
        1.0,
        "Panorax: K-FAC and Adam both reach the target loss of the classifier",
    ),
)


def get_config() -> Config:
    return Config()


def quick() -> Config:
    """The size of `panorax bench --check`."""
    return dataclasses.replace(get_config(), rounds=3)
