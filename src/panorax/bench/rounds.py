"""Runs contenders in turns, round by round, and measures their rates and ratios."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from panorax.core.errors import UserError

FOREIGN = 0.1  # largest share of the cores that other programs may use during a turn
TRIES = 3  # largest number of attempts at a turn


@dataclass
class Measured:
    """The rounds of one contender."""

    rates: list[float] = field(default_factory=list)
    """units of work per second, one entry per round"""
    cpu_rates: list[float] = field(default_factory=list)
    """units of work per CPU-second, one entry per round"""
    facts: dict = field(default_factory=dict)
    """facts that the contender reported last"""
    ready_seconds: float = 0.0
    """seconds from the call of the contender until it was ready to work"""
    peak_mb: float = 0.0
    """peak resident memory, in MiB"""
    foreign: float = 0.0
    """largest share of the cores that other programs used in a counted round"""
    refused: str | None = None
    """reason why the contender does not run; it then has no rounds"""

    def add(self, answer: dict, foreign: float) -> None:
        """Adds one round."""
        self.rates.append(answer["units"] / answer["wall"])
        self.cpu_rates.append(answer["units"] / answer["cpu"])
        self.facts, self.peak_mb = answer["facts"], answer["peak_mb"]
        self.foreign = max(self.foreign, foreign)


class Contender:
    """A process that waits for its turn; `panorax.bench.worker` is its main program."""

    def __init__(self, path: str, settings: dict, folder: Path, environment: dict[str, str]):
        worker = [sys.executable, "-m", "panorax.bench.worker"]
        stderr = folder / f"{path.replace(':', '.')}.err"
        self.errors = open(stderr, "w+")  # open as long as the process runs
        self.process = subprocess.Popen(
            [*worker, path, json.dumps(settings), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=os.environ | environment,
        )

    def answer(self) -> dict:
        """Reads the next answer.

        If the process ended instead, raises UserError with the last line of its stderr, or
        ModuleNotFoundError if a package is missing.
        """
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        self.errors.seek(0)
        last = (self.errors.read().strip().splitlines() or ["no error was printed"])[-1]
        if last.startswith("ModuleNotFoundError"):
            raise ModuleNotFoundError(last, name=last.split("'")[1])
        raise UserError(f"{' '.join(self.process.args[3:4])} ended: {last}")

    def turn(self) -> dict:
        """Runs one round of work and returns its answer."""
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self) -> None:
        """Ends the process and waits for it."""
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()
        self.errors.close()


def compare(
    contenders: dict[str, str],
    settings: dict,
    folder: Path,
    rounds: int,
    environment: dict[str, str] | None = None,
    optional: Collection[str] = (),
) -> dict[str, Measured]:
    """Runs every contender for `rounds` turns, after one warm-up turn that does not count.

    contenders: MODULE:FUNCTION by name, as `panorax.bench.worker` takes it.
    settings: JSON-serialisable argument of every contender.  folder: files that they share.
    environment: variables added to the environment of the processes.
    optional: contenders whose failure to start, or in the warm-up, becomes `Measured.refused`. The
        error of any other contender is raised.
    """
    measured = {name: Measured() for name in contenders}
    with ExitStack() as stack:
        workers = {}
        for name, path in contenders.items():
            worker = Contender(path, settings, folder, environment or {})
            stack.callback(worker.close)
            try:
                ready = worker.answer()
                worker.turn()
            except (UserError, ModuleNotFoundError) as error:
                if name not in optional:
                    raise
                measured[name].refused = str(error)
                continue
            workers[name] = worker
            measured[name].facts = ready["facts"]
            measured[name].ready_seconds = ready["ready_seconds"]
        for i in range(rounds):
            for name in list(workers)[:: 1 if i % 2 else -1]:
                answer, foreign = alone(workers[name].turn)
                measured[name].add(answer, foreign)
    return measured


def start(
    contenders: dict[str, str],
    settings: dict,
    folder: Path,
    rounds: int,
    environment: dict[str, str] | None = None,
) -> dict[str, list[dict]]:
    """Starts every contender in a new process each round, after one round that does not count.

    Returns the first answer of each process by contender. `wall` is the seconds from the start of
    the process, without the seconds that the contender reports as `not_counted`. The round is
    passed as `seed` in `settings`.
    """

    def ready(path: str, seed: int) -> dict:
        started = time.perf_counter()
        contender = Contender(path, settings | {"seed": seed}, folder, environment or {})
        try:
            answer = contender.answer()
            seconds = time.perf_counter() - started
            return answer | {"wall": seconds - answer["facts"].get("not_counted", 0.0)}
        finally:
            contender.close()

    answers = {name: [] for name in contenders}
    for i in range(rounds + 1):
        for name in list(contenders)[:: 1 if i % 2 else -1]:
            answer, foreign = alone(lambda: ready(contenders[name], i))
            answers[name].append(answer | {"foreign": foreign})
    return {name: counted for name, (_, *counted) in answers.items()}


def alone(turn: Callable[[], dict]) -> tuple[dict, float]:
    """Takes a turn up to `TRIES` times, until other programs use at most `FOREIGN` of the cores.

    Returns the answer of the least disturbed turn, and the share of the cores that other programs
    used during that turn.
    """
    tries = []
    while len(tries) < TRIES and (not tries or tries[-1][1] > FOREIGN):
        before, started = _busy(), time.perf_counter()
        answer = turn()
        elsewhere = _busy() - before - answer["cpu"]
        available = os.cpu_count() * (time.perf_counter() - started)
        tries.append((answer, max(0.0, elsewhere / available)))
    return min(tries, key=lambda attempt: attempt[1])


def _busy() -> float:
    """CPU-seconds that all cores have worked since boot; 0 on a system without /proc/stat."""
    try:
        fields = Path("/proc/stat").read_text().split("\n")[0].split()[1:]
    except OSError:
        return 0.0
    user, nice, system, _, _, irq, softirq, *_ = map(int, fields)
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def ratio(ours: list[float], theirs: list[float]) -> dict[str, float]:
    """Median and range over the rounds of `ours` divided by `theirs`."""
    return spread([a / b for a, b in zip(ours, theirs, strict=True)])


def spread(values: list[float]) -> dict[str, float]:
    """Median and range."""
    return {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}
