"""PPO on CartPole-v1 on the CPU beside stable-baselines3 and PPO in one file of PyTorch.

The rate counts environment steps per second, acting and learning both. Updates take most of an
iteration; advantages, the rollout and random permutations take the rest.

Three choices make it fast. Gradients are summed over batch and time as one axis
(`panorax.ops.dot`). Permutations sort single numbers, not pairs (`panorax.ops.permutation`). The
starts of all environments are drawn ahead at once (`panorax.rl.environments.wrappers.vectorize`).

From process start to solution, tracing and compilation take most of the time with a cold cache.
"""

from pathlib import Path

from panorax.bench.rounds import Measured, compare, spread, start
from panorax.bench.table import Table
from panorax.core.ranges import Count, checked

OURS = "panorax.bench.panorax_ppo:"
CONTENDERS = {
    "zoo": {"panorax": OURS + "training", "stable-baselines3": "panorax.bench.sb3_ppo:training"},
    "clean": {"panorax": OURS + "training", "torch": "panorax.bench.torch_ppo:sync"},
    "wide": {"panorax": OURS + "training", "torch": "panorax.bench.torch_ppo:numpy_vector"},
}
SEEDS = {
    "panorax": OURS + "one_seed",
    "panorax, 4 seeds": OURS + "four_seeds",
    "panorax, 16 seeds": OURS + "sixteen_seeds",
}
SOLVED = {
    "stable-baselines3": "panorax.bench.sb3_ppo:until_solved",
    "panorax, cold": OURS + "until_solved_cold",
    "panorax, warm": OURS + "until_solved_warm",
}
ENVIRONMENTS = {
    name: f"panorax.bench.cartpole:{name}" for name in ("panorax", "gymnax", "numpy_vector")
}


@checked
class Setting:
    """PPO as all contenders of one case run it."""

    n_envs: Count
    """parallel environments [N]"""
    length: Count
    """steps per environment and rollout [T]"""
    epochs: Count
    """passes over each rollout"""
    minibatches: Count
    """minibatches per pass"""
    discount: float
    """discount factor [gamma]"""
    lambda_: float
    """GAE lambda: 0 is one-step TD, 1 is Monte Carlo"""
    entropy_weight: float
    """weight of the entropy bonus"""
    clip: float = 0.2
    """radius of the clipped probability ratio"""
    learning_rate: float = 1e-3
    """learning rate at the start; it falls linearly to 0"""
    round: Count = 16_384
    """environment steps per round"""
    total: Count = 100_000
    """environment steps over which the learning rate falls"""


@checked
class Config:
    """The cases of the comparison."""

    cases: tuple[tuple[str, Setting], ...]
    """name (a key of CONTENDERS) and setting of each case"""
    seeds_of: str | None = "clean"
    """case whose setting is trained with many seeds at once; None skips this comparison"""
    solved: str | None = "zoo"
    """case that is trained from process start to the solution; None skips this comparison"""
    alone: Count = 1024
    """environments that are stepped without learning"""
    rounds: Count = 7
    """counted rounds"""


def benchmark(cfg: Config, folder: Path) -> Table:
    """Compares every case, parallel seeds, time to the solution, and the environments alone."""
    table, settings = Table("steps/s"), {name: vars(setting) for name, setting in cfg.cases}
    for name, setting in settings.items():
        _, competitor = CONTENDERS[name]
        measured = compare(CONTENDERS[name], setting, folder, cfg.rounds)
        _add(table, name, measured, competitor)
    if cfg.seeds_of:
        measured = compare(SEEDS, settings[cfg.seeds_of], folder, cfg.rounds)
        _add(table, "seeds", measured, "panorax")
    if cfg.solved:
        answers = start(SOLVED, settings[cfg.solved], folder, cfg.rounds)
        table.add_times("solved", answers, "stable-baselines3")
        table.metrics["solved_lowest_return"] = min(
            answer["facts"]["return"] for each in answers.values() for answer in each
        )
    measured = compare(ENVIRONMENTS, {"n_envs": cfg.alone}, folder, cfg.rounds)
    _add(table, "environment", measured, "gymnax")
    cpu_rate = spread(measured["panorax"].cpu_rates)["median"]
    table.metrics["environment_panorax_steps_per_cpu_second"] = cpu_rate
    return table


def _add(table: Table, case: str, measured: dict[str, Measured], against: str) -> None:
    """Adds the rows of a case, and the lowest mean return of its contenders."""
    table.add(case, measured, against)
    returns = [rounds.facts["return"] for rounds in measured.values()]
    table.metrics[f"{case}_lowest_return"] = min(returns)
