"""Tree search beside mctx: PUCT and Gumbel searches of 64 states with 9 actions and a small model.

Competitor: mctx 0.0.71, with the same model and constants.

Command: panorax bench bench/search (needs `pip install 'panorax[bench]'`)
"""

import dataclasses

from panorax.bench.rl.search import Config

CLAIMS = ()


def get_config() -> Config:
    return Config()


def quick() -> Config:
    """The size of `panorax bench --check`."""
    return dataclasses.replace(get_config(), rounds=3)
