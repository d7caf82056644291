"""SAC on Pendulum beside stable-baselines3 and one file of PyTorch, one update per step.

Command: panorax bench bench/rl (needs `pip install 'panorax[bench]'`)
"""

import dataclasses

from panorax.bench.rl.off_policy import Config, Setting
from panorax.core.claims import Claim

CASES = {
    "sac": Setting(hidden=(64, 64), batch=128),
    "sac_large": Setting(),
}
CLAIMS = (
    Claim(
        "sac_panorax_ratio",
        ">=",
        5,
        "Panorax: SAC is 5 times as fast as stable-baselines3 with two layers of 64 units",
    ),
    Claim(
        "sac_panorax_to_torch_ratio",
        ">=",
        10,
        "Panorax: SAC is 10 times as fast as one file of PyTorch with two layers of 64 units",
    ),
    Claim(
        "sac_large_panorax_ratio",
        ">=",
        5,
        "Panorax: SAC is 5 times as fast as stable-baselines3 at its default size, two layers of "
        "256 units, where matrix products take most of the time",
    ),
)


def get_config() -> Config:
    return Config(cases=tuple(CASES.items()))


def quick() -> Config:
    """The size of `panorax bench --check`."""
    return dataclasses.replace(get_config(), cases=(("sac", CASES["sac"]),), rounds=3)
