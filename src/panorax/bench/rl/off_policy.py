"""Off-policy reinforcement learning on the CPU beside stable-baselines3 and PyTorch.

The rate counts environment steps per second, acting and learning both.
A case with small networks measures the overhead of a step: Panorax compiles acting, replay and all
updates into one program, the others dispatch each operation from Python. A case with large networks
measures matrix products, which take the same time in all programs.
"""

from pathlib import Path

from panorax.bench.rounds import compare, ratio
from panorax.bench.table import Table
from panorax.core.ranges import Count, DecayRate, Positive, Share, checked


@checked
class Setting:
    """What all contenders of a case share."""

    environment: str
    """environment, by its name in gymnasium"""
    hidden: tuple[Count, ...]
    """widths of the hidden layers of all networks"""
    batch: Count
    """transitions of an update"""
    capacity: Count
    """transitions in the replay"""
    random_steps: Count
    """environment steps with random actions before the first update"""
    learning_rate: Positive
    """learning rate of all optimisers"""
    round: Count
    """environment steps per round"""
    discount: DecayRate = 0.99
    """discount factor [gamma]"""


@checked
class Sac(Setting):
    """SAC: every step of all environments is followed by as many updates."""

    n_envs: Count = 1
    """parallel environments"""
    polyak: Share = 0.005
    """step of target parameters towards the parameters [tau]"""


@checked
class Dqn(Setting):
    """DQN in one environment."""

    every: Count = 10
    """environment steps per update"""
    target_every: Count = 50
    """updates between two copies of the network to the target network"""
    epsilon: Share = 0.05
    """probability of a random action"""


CONTENDERS = {
    Sac: {
        "panorax": "panorax.bench.rl.panorax_off_policy:sac_training",
        "stable-baselines3": "panorax.bench.rl.sb3_off_policy:sac_training",
        "torch": "panorax.bench.rl.torch_sac:training",
    },
    Dqn: {
        "panorax": "panorax.bench.rl.panorax_off_policy:dqn_training",
        "stable-baselines3": "panorax.bench.rl.sb3_off_policy:dqn_training",
        "torch": "panorax.bench.rl.torch_dqn:training",
    },
}
"""contenders of each method"""


@checked
class Config:
    """The cases of the comparison."""

    cases: tuple[tuple[str, Sac | Dqn], ...]
    """name and setting of each case"""
    rounds: Count = 5
    """counted rounds"""


def benchmark(cfg: Config, folder: Path) -> Table:
    """Compares every case; ratios of the table are to stable-baselines3."""
    table = Table("steps/s")
    for name, setting in cfg.cases:
        measured = compare(CONTENDERS[type(setting)], vars(setting), folder, cfg.rounds)
        table.add(name, measured, "stable-baselines3")
        beside_torch = ratio(measured["panorax"].rates, measured["torch"].rates)
        table.metrics[f"{name}_panorax_to_torch_ratio"] = beside_torch["median"]
        returns = [rounds.facts["return"] for rounds in measured.values()]
        table.metrics[f"{name}_lowest_return"] = min(returns)
    return table
