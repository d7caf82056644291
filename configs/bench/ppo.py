"""PPO on CartPole-v1 beside stable-baselines3 and PPO in one file of PyTorch, on the same cores.

Competitors:

    stable-baselines3 2.9.2 with the hyper-parameters that its zoo tuned
    PPO in the style of CleanRL (`panorax.bench.torch_ppo`, torch 2.13.0) on gymnasium 1.3.0, with
    environments stepped one by one and as arrays
    gymnax 1.0.1 and gymnasium's vector CartPole, stepped without learning

Command: panorax bench bench/ppo (needs `pip install 'panorax[bench]'`)
"""

import dataclasses

from panorax.bench.ppo import Config, Setting
from panorax.core.claims import Claim

CASES = {
    "zoo": Setting(
        n_envs=8,
        length=32,
        epochs=20,
        minibatches=1,
        discount=0.98,
        lambda_=0.8,
        entropy_weight=0.0,
    ),
    "clean": Setting(
        n_envs=4,
        length=128,
        epochs=4,
        minibatches=4,
        discount=0.99,
        lambda_=0.95,
        entropy_weight=0.01,
    ),
    "wide": Setting(
        n_envs=64,
        length=32,
        epochs=4,
        minibatches=4,
        discount=0.99,
        lambda_=0.95,
        entropy_weight=0.01,
    ),
}
CLAIMS = (
    Claim(
        "zoo_panorax_ratio",
        ">=",
        8,
        "Panorax: PPO is 8 times as fast as stable-baselines3 at its tuned setting (8 environments,"
        " 20 epochs)",
    ),
    Claim(
        "clean_panorax_ratio",
        ">=",
        15,
        "Panorax: PPO is 15 times as fast as PyTorch with 4 environments stepped one by one",
    ),
    Claim(
        "wide_panorax_ratio",
        ">=",
        4,
        "Panorax: PPO is 4 times as fast as PyTorch with 64 environments stepped as arrays",
    ),
    *(
        Claim(
            f"{name}_lowest_return",
            ">=",
            100,
            f"Panorax: all contenders learn; in case {name} their mean return in the last round is"
            " at least 100 (random actions: 22)",
        )
        for name in CASES
    ),
    Claim(
        "solved_panorax_cold_ratio",
        ">=",
        1,
        "Panorax: PPO with a cold cache reaches a mean return of 475 from process start no later"
        " than stable-baselines3",
    ),
    Claim(
        "solved_panorax_warm_ratio",
        ">=",
        3,
        "Panorax: PPO with a warm cache reaches a mean return of 475 from process start 3 times as"
        " fast as stable-baselines3",
    ),
    Claim(
        "solved_panorax_cold_compile_seconds",
        "<=",
        2.8,
        "Panorax: tracing and compiling PPO with a cold cache takes at most 2.8 s",
    ),
    Claim(
        "solved_lowest_return",
        ">=",
        475,
        "Panorax: every contender reaches a mean return of 475 with every seed",
    ),
    Claim(
        "seeds_panorax_4_seeds_ratio",
        ">",
        1,
        "Panorax: PPO over 4 parallel seeds takes more environment steps per second than over one",
    ),
    Claim(
        "seeds_panorax_16_seeds_ratio",
        ">",
        1,
        "Panorax: PPO over 16 parallel seeds takes more environment steps per second than over one",
    ),
    Claim(
        "environment_panorax_steps_per_cpu_second",
        ">=",
        6e6,
        "Panorax: 1,024 environments with random actions take 6 million steps per CPU-second",
    ),
)


def get_config() -> Config:
    return Config(cases=tuple(CASES.items()))


def quick() -> Config:
    """The size of `panorax bench --check`."""
    return dataclasses.replace(
        get_config(), cases=(("clean", CASES["clean"]),), seeds_of=None, solved=None, rounds=3
    )
