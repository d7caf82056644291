"""PPO on CartPole-v1 on the CPU, environment steps a second, acting and learning both: stable-baselines3, PPO in one file of PyTorch, and `panorax`.

Where the time of an iteration goes, 64 environments, 32 steps, 16 minibatches of 512 (10.4 ms in a trial on two cores): the updates 8.0, a gradient being 0.58 and
AdamW 0.2; advantages and old probabilities 0.8; the rollout 0.7, half of it the environments; the random orders 0.3. A gradient took 0.95 while it was summed over
batch and time as two axes (`panorax.ops.dot`). Sorting pairs made orders slow (`panorax.ops.permutation`), and drawing a new start in every step made
environments slow: now starts are drawn ahead, all at once (`panorax.rl.environments.wrappers.vectorize`).

From the start of a process to the solution, cold, two thirds of the time are tracing and compiling; warm, imports, tracing and training share it evenly.
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
    """PPO as all contenders of a case run it; `round` steps of the environments are timed, `total` span the learning rate's schedule."""

    n_envs: Count
    length: Count
    epochs: Count
    minibatches: Count
    discount: float
    lambda_: float
    entropy_weight: float
    clip: float = 0.2
    learning_rate: float = 1e-3
    round: Count = 16_384
    total: Count = 100_000


@checked
class Config:
    """Cases by name, the case whose setting is trained with many seeds at once, and how many environments are stepped alone."""

    cases: tuple[tuple[str, Setting], ...]
    seeds_of: str | None = "clean"
    solved: str | None = "zoo"
    """the case that is trained until it is solved, from the start of the process"""
    alone: Count = 1024
    rounds: Count = 7


def benchmark(cfg: Config, folder: Path) -> Table:
    """Every case in turn, then seeds side by side, then from the start of a process to the solution, then the environments alone."""
    table = Table("steps/s")
    for name, setting in cfg.cases:
        _add(
            table,
            name,
            compare(CONTENDERS[name], vars(setting), folder, cfg.rounds),
            [*CONTENDERS[name]][1],
        )
    if cfg.seeds_of:
        _add(
            table,
            "seeds",
            compare(SEEDS, vars(dict(cfg.cases)[cfg.seeds_of]), folder, cfg.rounds),
            "panorax",
        )
    if cfg.solved:
        told = start(SOLVED, vars(dict(cfg.cases)[cfg.solved]), folder, cfg.rounds)
        table.add_times("solved", told, "stable-baselines3")
        table.metrics["solved_lowest_return"] = min(
            answer["facts"]["return"] for answers in told.values() for answer in answers
        )
    measured = compare(ENVIRONMENTS, {"n_envs": cfg.alone}, folder, cfg.rounds)
    _add(table, "environment", measured, "gymnax")
    table.metrics["environment_panorax_steps_per_cpu_second"] = spread(
        measured["panorax"].cpu_rates
    )["median"]
    return table


def _add(table: Table, case: str, measured: dict[str, Measured], against: str) -> None:
    """Rows, and the lowest mean return of a contender: all learn, or act at random, equally well."""
    table.add(case, measured, against)
    table.metrics[f"{case}_lowest_return"] = min(one.facts["return"] for one in measured.values())
