"""Tree search beside mctx: PUCT and Gumbel searches of 64 states with 9 actions and a small model.

Competitor: mctx 0.0.71, with the same model and constants.

Command: panorax bench bench/search (needs `pip install 'panorax[bench]'`)
"""

import dataclasses

from panorax.bench.rl.search import Config
from panorax.core.claims import Claim

CLAIMS = (
    Claim(
        "puct_panorax_ratio",
        ">=",
        4.0,
        "Panorax: searches by PUCT with 128 simulations are 4 times as fast as in mctx",
    ),
    Claim(
        "gumbel_panorax_ratio",
        ">=",
        2.0,
        "Panorax: Gumbel searches with 128 simulations are twice as fast as in mctx",
    ),
    Claim(
        "longer_panorax_ratio",
        ">=",
        8.0,
        "Panorax: searches by PUCT with 512 simulations are 8 times as fast as in mctx",
    ),
    Claim(
        "longer_rate_over_rate",
        ">=",
        0.6,
        "Panorax: a simulation costs about the same in a tree of 513 nodes as in one of 129",
    ),
    Claim(
        "puct_states_with_equal_visits",
        ">=",
        0.95,
        "Panorax: PUCT visits each root's actions as often as mctx; a rounding error may break a"
        " tie differently",
    ),
    Claim(
        "gumbel_states_with_equal_visits",
        ">=",
        0.95,
        "Panorax: the Gumbel search visits each root's actions as often as mctx",
    ),
)


def get_config() -> Config:
    return Config()


def quick() -> Config:
    """The size of `panorax bench --check`."""
    return dataclasses.replace(get_config(), rounds=3)
