"""SAC on Pendulum beside stable-baselines3 and one file of PyTorch, one update per step.

Command: panorax bench bench/rl (needs `pip install 'panorax[bench]'`)
"""

import dataclasses

from panorax.bench.off_policy.comparison import Config, Setting

CASES = {
    "sac": Setting(hidden=(64, 64), batch=128),
    "sac_large": Setting(),
}
CLAIMS = ()


def get_config() -> Config:
    return Config(cases=tuple(CASES.items()))


def quick() -> Config:
    """The size of `panorax bench --check`."""
    return dataclasses.replace(get_config(), cases=(("sac", CASES["sac"]),), rounds=3)
