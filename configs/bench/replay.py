"""Replay beside flashbax: a step adds 16 transitions of MinAtar's size and draws 256.

Competitor: trajectory buffers of flashbax 0.1.3, with rows of the same shapes.

Command: panorax bench bench/replay (needs `pip install 'panorax[bench]'`)
"""

import dataclasses

from panorax.bench.rl.replay import Config

CLAIMS = ()


def get_config() -> Config:
    return Config()


def quick() -> Config:
    """The size of `panorax bench --check`."""
    return dataclasses.replace(get_config(), rounds=3)
