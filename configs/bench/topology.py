"""Persistent homology up to H1 of 500 points, up to H2 of 120 on a sphere, points a second beside Ripser on the same core.

Competitor: ripser 0.6.15 (Bauer's Ripser, C++); ours is numpy. From points to diagrams, which are compared.
Command: panorax bench bench/topology      about 75 seconds on 2 cores; needs `pip install 'panorax[bench]'`
"""

import dataclasses

from panorax.bench.topology import Config
from panorax.core.claims import Claim

CASES = {
    "normal": "500 normal points in 3 dimensions, H1",
    "circle": "500 points near a circle, H1",
    "dim20": "500 normal points in 20 dimensions, H1",
    "sphere": "120 points on a sphere, H2",
}
CLAIMS = (
    *(
        Claim(f"{case}_panorax_seconds", "<=", 5, f"{what}: seconds for a cloud")
        for case, what in CASES.items()
    ),
    *(
        Claim(
            f"{case}_largest_difference",
            "<",
            1e-5,
            f"{what}: births and deaths; Ripser's are in single precision",
        )
        for case, what in CASES.items()
    ),
)


def get_config() -> Config:
    return Config()


def quick() -> Config:
    """For the guard."""
    return dataclasses.replace(get_config(), rounds=3)
