"""SAC on Pendulum and DQN on CartPole beside stable-baselines3 and PyTorch in CleanRL's style.

Command: panorax bench bench/rl (needs `pip install 'panorax[bench]'`)
"""

import dataclasses

from panorax.bench.rl.off_policy import Config, Dqn, Sac
from panorax.core.claims import Claim

LARGE = Sac(
    environment="Pendulum-v1",
    hidden=(256, 256),
    batch=256,
    capacity=100_000,
    random_steps=1000,
    learning_rate=1e-3,
    round=500,
)
CLEANRL = Dqn(
    environment="CartPole-v1",
    hidden=(120, 84),
    batch=128,
    capacity=10_000,
    random_steps=10_000,
    learning_rate=2.5e-4,
    round=5000,
)
CASES = {
    "sac": dataclasses.replace(LARGE, hidden=(64, 64), batch=128),
    "sac_large": LARGE,
    "dqn": CLEANRL,
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
    return dataclasses.replace(
        get_config(), cases=tuple((name, CASES[name]) for name in ("sac", "dqn")), rounds=3
    )
