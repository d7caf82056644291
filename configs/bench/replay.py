"""Replay beside flashbax: a step adds 16 transitions of MinAtar's size and draws 256.

Competitor: trajectory buffers of flashbax 0.1.3, with rows of the same shapes.

Command: panorax bench bench/replay (needs `pip install 'panorax[bench]'`)
"""

import dataclasses

from panorax.bench.rl.replay import Config
from panorax.core.claims import Claim

CLAIMS = (
    Claim(
        "uniform_panorax_ratio",
        ">=",
        0.9,
        "Panorax: a step on a uniform replay of a million rows has 0.9 of flashbax's rate",
    ),
    Claim(
        "prioritized_panorax_ratio",
        ">=",
        0.9,
        "Panorax: a step on a prioritised replay of a million rows has 0.9 of flashbax's rate",
    ),
    Claim(
        "prioritized_rate_over_small_rate",
        ">=",
        0.1,
        "Panorax: steps do not copy their replay; 64 times the rows cost cache misses only",
    ),
    Claim("uniform_mean_position_error", "<", 0.01, "both libraries draw uniformly from all rows"),
)


def get_config() -> Config:
    return Config()


def quick() -> Config:
    """The size of `panorax bench --check`."""
    return dataclasses.replace(get_config(), rounds=3)
