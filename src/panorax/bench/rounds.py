"""Contenders in turns: their rates, round by round, and what one is to another."""

import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from panorax.core.errors import UserError

FOREIGN = 0.1  # of the cores' time in a round that other programs may take
TRIES = 3


@dataclass
class Measured:
    """A contender's rounds: units of work a second, and a CPU-second; the facts it told; seconds until it was ready; its peak memory in MB.

    `foreign` is the largest share of the cores that other programs had in a round that counts.
    """

    rates: list[float] = field(default_factory=list)
    cpu_rates: list[float] = field(default_factory=list)
    facts: dict = field(default_factory=dict)
    ready_seconds: float = 0.0
    peak_mb: float = 0.0
    foreign: float = 0.0

    def add(self, took: dict, foreign: float) -> None:
        """One more round."""
        self.rates.append(took["units"] / took["wall"])
        self.cpu_rates.append(took["units"] / took["cpu"])
        self.facts, self.peak_mb, self.foreign = (
            took["facts"],
            took["peak_mb"],
            max(self.foreign, foreign),
        )


class Contender:
    """A process that waits for its turn: see `panorax.bench.worker`."""

    def __init__(self, path: str, settings: dict, folder: Path, environment: dict[str, str]):
        command = [
            sys.executable,
            "-m",
            "panorax.bench.worker",
            path,
            json.dumps(settings),
            str(folder),
        ]
        self.errors = open(folder / f"{path.replace(':', '.')}.err", "w+")  # noqa: SIM115 -- lives as long as the process
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=os.environ | environment,
        )

    def answer(self) -> dict:
        """Its next line. Raises UserError with the last line of its errors where it ended instead, ModuleNotFoundError where a package is missing."""
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        self.errors.seek(0)
        last = (self.errors.read().strip().splitlines() or ["no error was printed"])[-1]
        if last.startswith("ModuleNotFoundError"):
            raise ModuleNotFoundError(last, name=last.split("'")[1])
        raise UserError(f"{' '.join(self.process.args[3:4])} ended: {last}")

    def turn(self) -> dict:
        """One round of work."""
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self) -> None:
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
) -> dict[str, Measured]:
    """`rounds` turns of each of the contenders, given as MODULE:FUNCTION by name, after one of each that does not count."""
    measured = {name: Measured() for name in contenders}
    with ExitStack() as stack:
        workers = {}
        for name, path in contenders.items():
            workers[name] = Contender(path, settings, folder, environment or {})
            stack.callback(workers[name].close)
            told = workers[name].answer()
            measured[name].facts, measured[name].ready_seconds = (
                told["facts"],
                told["ready_seconds"],
            )
        for worker in workers.values():
            worker.turn()
        for i in range(rounds):
            for name in list(workers)[:: 1 if i % 2 else -1]:
                took, foreign = alone(workers[name].turn)
                measured[name].add(took, foreign)
    return measured


def start(
    contenders: dict[str, str],
    settings: dict,
    folder: Path,
    rounds: int,
    environment: dict[str, str] | None = None,
) -> dict[str, list[dict]]:
    """What each contender tells when it is ready, in `rounds` turns of a process of its own, after one that does not count; `settings` get the round
    as `seed`. Seconds, `wall`, are from the start of the process, less those that a contender says are `not_counted`."""
    told = {name: [] for name in contenders}
    for i in range(rounds + 1):
        for name in list(contenders)[:: 1 if i % 2 else -1]:

            def turn(name=name, seed=i):
                started = time.perf_counter()
                contender = Contender(
                    contenders[name], settings | {"seed": seed}, folder, environment or {}
                )
                try:
                    ready = contender.answer()
                    return ready | {
                        "wall": time.perf_counter()
                        - started
                        - ready["facts"].get("not_counted", 0.0)
                    }
                finally:
                    contender.close()

            took, foreign = alone(turn)
            told[name].append(took | {"foreign": foreign})
    return {name: answers[1:] for name, answers in told.items()}


def alone(turn) -> tuple[dict, float]:
    """A turn during which other programs had at most `FOREIGN` of the cores, or the best of some, and the share that they had."""
    tries = []
    while len(tries) < TRIES and (not tries or tries[-1][1] > FOREIGN):
        before, started = _busy(), time.perf_counter()
        took = turn()
        elsewhere = _busy() - before - took["cpu"]
        tries.append(
            (took, max(0.0, elsewhere / (os.cpu_count() * (time.perf_counter() - started))))
        )
    return min(tries, key=lambda t: t[1])


def _busy() -> float:
    """Seconds that all cores together have worked since the machine started; 0 where Linux does not say."""
    try:
        user, nice, system, _, _, irq, softirq, *_ = map(
            int, Path("/proc/stat").read_text().split("\n")[0].split()[1:]
        )
    except OSError:
        return 0.0
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def ratio(ours: list[float], theirs: list[float]) -> dict[str, float]:
    """Median and range over the rounds of ours divided by theirs."""
    return spread([a / b for a, b in zip(ours, theirs, strict=True)])


def spread(values: list[float]) -> dict[str, float]:
    """Median and range."""
    return {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}
