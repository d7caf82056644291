"""Off-policy reinforcement learning on the CPU beside stable-baselines3 and one file of PyTorch.

The rate counts environment steps per second, acting and learning both, with one update per step.
A case with small networks measures the overhead of a step: Panorax compiles acting, replay and all
updates into one program, the others dispatch each operation from Python. A case with large networks
measures matrix products, which take the same time in all programs.
"""

from pathlib import Path

from panorax.bench.rounds import compare, ratio
from panorax.bench.table import Table
from panorax.core.ranges import Count, checked

CONTENDERS = {
    "sac": {
        "panorax": "panorax.bench.rl.panorax_sac:training",
        "stable-baselines3": "panorax.bench.rl.sb3_sac:training",
        "torch": "panorax.bench.rl.torch_sac:training",
    },
}
"""contenders of each method"""


@checked
class Setting:
    """A method as all contenders of one case run it."""

    method: str = "sac"
    """method, a key of CONTENDERS"""
    environment: str = "Pendulum-v1"
    """environment, by its name in gymnasium"""
    hidden: tuple[Count, ...] = (256, 256)
    """widths of the hidden layers of all networks"""
    batch: Count = 256
    """transitions of an update"""
    n_envs: Count = 1
    """parallel environments; each step of all of them is followed by as many updates"""
    capacity: Count = 100_000
    """transitions in the replay"""
    random_steps: Count = 1000
    """environment steps with random actions before the first update"""
    learning_rate: float = 1e-3
    """learning rate of all optimisers"""
    discount: float = 0.99
    """discount factor [gamma]"""
    polyak: float = 0.005
    """step of target parameters towards the parameters [tau]"""
    round: Count = 500
    """environment steps per round"""


@checked
class Config:
    """The cases of the comparison."""

    cases: tuple[tuple[str, Setting], ...]
    """name and setting of each case"""
    rounds: Count = 5
    """counted rounds"""


def benchmark(cfg: Config, folder: Path) -> Table:
    """Compares every case; ratios of the table are to stable-baselines3."""
    table = Table("steps/s")
    for name, setting in cfg.cases:
        measured = compare(CONTENDERS[setting.method], vars(setting), folder, cfg.rounds)
        table.add(name, measured, "stable-baselines3")
        beside_torch = ratio(measured["panorax"].rates, measured["torch"].rates)
        table.metrics[f"{name}_panorax_to_torch_ratio"] = beside_torch["median"]
        returns = [rounds.facts["return"] for rounds in measured.values()]
        table.metrics[f"{name}_lowest_return"] = min(returns)
    return table
