"""Persistent homology beside Ripser: 500 points up to H1, 120 points on a sphere up to H2.

Both compute diagrams from points on the same core, and the diagrams are compared. Competitor:
ripser 0.6.15 (Bauer's Ripser, C++); ours is numpy.

Command: panorax bench bench/topology (needs `pip install 'panorax[bench]'`)
"""

import dataclasses

from panorax.bench.topology import Config
from panorax.core.claims import Claim

CASES = {
    "normal": "500 normal points in 3 dimensions up to H1",
    "circle": "500 points near a circle up to H1",
    "dim20": "500 normal points in 20 dimensions up to H1",
    "sphere": "120 points on a sphere up to H2",
}
CLAIMS = (
    *(
        Claim(
            f"{case}_panorax_ratio",
            ">=",
            1,
            f"Panorax: the diagrams of {cloud} take no longer than Ripser's",
        )
        for case, cloud in CASES.items()
    ),
    *(
        Claim(
            f"{case}_largest_difference",
            "<",
            1e-5,
            f"Panorax: births and deaths of {cloud} equal Ripser's, in single precision, within"
            " 1e-5",
        )
        for case, cloud in CASES.items()
    ),
)


def get_config() -> Config:
    return Config()


def quick() -> Config:
    """The size of `panorax bench --check`."""
    return dataclasses.replace(get_config(), rounds=3)
