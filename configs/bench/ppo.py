"""PPO on CartPole-v1, steps of the environments a second beside stable-baselines3 and PPO in one file of PyTorch, on the same cores.

Competitors: stable-baselines3 2.9.2 with the hyper-parameters its zoo tuned; PPO as CleanRL writes it (`panorax.bench.torch_ppo`, torch 2.13.0) on
gymnasium 1.3.0, environments stepped one by one and as arrays; gymnax 1.0.1 and gymnasium's CartPole for arrays, stepped alone.
Command: panorax bench bench/ppo      about 6 minutes on 2 cores; needs `pip install 'panorax[bench]'`
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
        "against stable-baselines3, its tuned setting: 8 environments, 20 epochs",
    ),
    Claim(
        "clean_panorax_ratio",
        ">=",
        15,
        "against PyTorch, 4 environments stepped one by one, 4 epochs",
    ),
    Claim("wide_panorax_ratio", ">=", 4, "against PyTorch, 64 environments stepped as arrays"),
    *(
        Claim(
            f"{name}_lowest_return",
            ">=",
            100,
            "mean return of every contender in its last round: all learn, random actions get 22",
        )
        for name in CASES
    ),
    Claim(
        "solved_panorax_cold_ratio",
        ">=",
        1,
        "seconds from process start to a mean return of 475, nothing compiled before, against stable-baselines3",
    ),
    Claim(
        "solved_panorax_warm_ratio",
        ">=",
        3,
        "the same with the programs that an earlier process compiled",
    ),
    Claim("solved_panorax_cold_compile_seconds", "<=", 2.8, "of them tracing and compiling"),
    Claim(
        "solved_lowest_return", ">=", 475, "mean return that every contender reached, of every seed"
    ),
    Claim("seeds_panorax_4_seeds_ratio", ">", 1, "steps a second of 4 seeds together against one"),
    Claim(
        "seeds_panorax_16_seeds_ratio", ">", 1, "steps a second of 16 seeds together against one"
    ),
    Claim(
        "environment_panorax_steps_per_cpu_second",
        ">=",
        6e6,
        "1,024 environments alone, random actions",
    ),
)


def get_config() -> Config:
    return Config(cases=tuple(CASES.items()))


def quick() -> Config:
    """For the guard."""
    return dataclasses.replace(
        get_config(), cases=(("clean", CASES["clean"]),), seeds_of=None, solved=None, rounds=3
    )
