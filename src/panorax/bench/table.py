"""The result of a comparison: a row per contender, and the ratios as metrics for claims."""

import statistics
from dataclasses import dataclass, field

from panorax.bench.rounds import Measured, ratio, spread


@dataclass
class Table:
    """Rows and metrics of one comparison."""

    unit: str
    """unit of all rates, such as tokens/s"""
    rows: list[dict] = field(default_factory=list)
    """one row per case and contender, printed and recorded"""
    metrics: dict[str, float] = field(default_factory=dict)
    """scalars by name, for claims and for `panorax bench --check`"""
    refused: list[dict] = field(default_factory=list)
    """case, contender and reason for each contender that could not run"""
    machine: dict = field(default_factory=dict)
    """state of the GPU under load, as `panorax.bench.machine` reads it"""

    def add(self, case: str, measured: dict[str, Measured], against: str) -> None:
        """Adds a row per contender, with the ratio of its rate to the rate of `against`.

        The metric `CASE_CONTENDER_ratio` is the median ratio.
        """
        for name, rounds in measured.items():
            if rounds.refused:
                self.refused.append({"case": case, "contender": name, "reason": rounds.refused})
                continue
            facts = rounds.facts
            row = {
                "case": case,
                "contender": name,
                "rate": spread(rounds.rates),
                "rate_per_cpu_second": spread(rounds.cpu_rates)["median"],
                "ratio": ratio(rounds.rates, measured[against].rates),
                "compile_seconds": round(facts.get("compile_seconds", 0.0), 2),
                "ready_seconds": round(rounds.ready_seconds, 2),
                "peak_mb": round(rounds.peak_mb),
                "foreign": round(rounds.foreign, 3),
                "version": facts.get("version"),
            }
            row |= {fact: facts[fact] for fact in ("return", "temporaries_mb") if fact in facts}
            self.rows.append(row)
            self.metrics[f"{case}_{_word(name)}_ratio"] = row["ratio"]["median"]

    def add_times(self, case: str, answers: dict[str, list[dict]], against: str) -> None:
        """Adds a row per contender from the answers of `panorax.bench.rounds.start`.

        A row has the seconds from process start to the end of the work. The ratio is the seconds
        of `against` over the seconds of the contender. The metrics `CASE_CONTENDER_seconds`,
        `CASE_CONTENDER_compile_seconds` and `CASE_CONTENDER_ratio` are medians.
        """
        seconds = {name: [answer["wall"] for answer in each] for name, each in answers.items()}
        for name, each in answers.items():
            compiling = [answer["facts"].get("compile_seconds", 0.0) for answer in each]
            row = {
                "case": case,
                "contender": name,
                "seconds": spread(seconds[name]),
                "ratio": ratio(seconds[against], seconds[name]),
                "compile_seconds": round(statistics.median(compiling), 2),
                "peak_mb": round(max(answer["peak_mb"] for answer in each)),
                "foreign": round(max(answer["foreign"] for answer in each), 3),
                "version": each[0]["facts"].get("version"),
            }
            self.rows.append(row)
            self.metrics[f"{case}_{_word(name)}_seconds"] = row["seconds"]["median"]
            self.metrics[f"{case}_{_word(name)}_compile_seconds"] = row["compile_seconds"]
            self.metrics[f"{case}_{_word(name)}_ratio"] = row["ratio"]["median"]

    def shown(self) -> str:
        """The rows as aligned text, then a line for each contender that did not run."""
        head = (
            f"{'case':<12} {'contender':<24} {self.unit:>12} {'range':>19} {'per CPU-s':>11}"
            f" {'ratio':>6} {'range':>13} {'compile':>8} {'peak MB':>8}"
        )
        refused = [f"{x['case']:<12} {x['contender']:<24} {x['reason']}" for x in self.refused]
        return "\n".join([head, *map(_line, self.rows), *refused])


def _line(row: dict) -> str:
    relative = row["ratio"]
    return (
        f"{row['case']:<12} {row['contender']:<24} {_speed(row)}"
        f" {relative['median']:>6.2f} {relative['lowest']:>6.2f}-{relative['highest']:<6.2f}"
        f" {row['compile_seconds']:>7.1f}s {row['peak_mb']:>8,}"
    )


def _speed(row: dict) -> str:
    """Median and range of the rate or of the seconds, and the rate per CPU-second."""
    if "rate" in row:
        rate = row["rate"]
        return (
            f"{rate['median']:>12,.0f} {rate['lowest']:>9,.0f}-{rate['highest']:<9,.0f}"
            f" {row['rate_per_cpu_second']:>11,.0f}"
        )
    took = row["seconds"]
    return f"{took['median']:>11.2f}s {took['lowest']:>9.2f}-{took['highest']:<9.2f} {'':>11}"


def _word(name: str) -> str:
    """The name of a contender as part of a metric: `torch, fused AdamW` is torch_fused_adamw."""
    return "_".join(name.replace(",", "").replace("-", "_").lower().split())
