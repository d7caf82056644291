"""What a comparison says: a row for every contender, and the ratios as metrics that claims can be made about."""

import statistics
from dataclasses import dataclass, field

from panorax.bench.rounds import Measured, ratio, spread


@dataclass
class Table:
    """`rows` for the reader, `metrics` (scalars by name) for claims and for the guard; rates are in `unit`."""

    unit: str
    rows: list[dict] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)

    def add(self, case: str, measured: dict[str, Measured], against: str) -> None:
        """A row for each contender with its ratio to the one that all are compared with; the metric `CASE_CONTENDER_ratio` is its median."""
        for name, one in measured.items():
            row = {
                "case": case,
                "contender": name,
                "rate": spread(one.rates),
                "rate_per_cpu_second": spread(one.cpu_rates)["median"],
                "ratio": ratio(one.rates, measured[against].rates),
                "compile_seconds": round(one.facts.get("compile_seconds", 0.0), 2),
                "ready_seconds": round(one.ready_seconds, 2),
                "peak_mb": round(one.peak_mb),
                "foreign": round(one.foreign, 3),
                "version": one.facts.get("version"),
            } | {
                fact: one.facts[fact] for fact in ("return", "temporaries_mb") if fact in one.facts
            }
            self.rows.append(row)
            self.metrics[f"{case}_{_word(name)}_ratio"] = row["ratio"]["median"]

    def add_times(self, case: str, told: dict[str, list[dict]], against: str) -> None:
        """A row for each contender that was started anew each round (`panorax.bench.rounds.start`): seconds to the end of its work, and how many times
        less they are than those of the one that all are compared with. Metrics `CASE_CONTENDER_seconds`, `CASE_CONTENDER_ratio`, medians."""
        seconds = {name: [answer["wall"] for answer in answers] for name, answers in told.items()}
        for name, answers in told.items():
            row = {
                "case": case,
                "contender": name,
                "seconds": spread(seconds[name]),
                "ratio": ratio(seconds[against], seconds[name]),
                "compile_seconds": round(
                    statistics.median(
                        answer["facts"].get("compile_seconds", 0.0) for answer in answers
                    ),
                    2,
                ),
                "peak_mb": round(max(answer["peak_mb"] for answer in answers)),
                "foreign": round(max(answer["foreign"] for answer in answers), 3),
                "version": answers[0]["facts"].get("version"),
            }
            self.rows.append(row)
            self.metrics[f"{case}_{_word(name)}_seconds"] = row["seconds"]["median"]
            self.metrics[f"{case}_{_word(name)}_compile_seconds"] = row["compile_seconds"]
            self.metrics[f"{case}_{_word(name)}_ratio"] = row["ratio"]["median"]

    def shown(self) -> str:
        """The rows as text."""
        head = f"{'case':<12} {'contender':<24} {self.unit:>12} {'range':>19} {'per CPU-s':>11} {'ratio':>6} {'range':>13} {'compile':>8} {'peak MB':>8}"
        lines = [head]
        for row in self.rows:
            times = row["ratio"]
            if "rate" in row:
                rate = row["rate"]
                measured = f"{rate['median']:>12,.0f} {rate['lowest']:>9,.0f}-{rate['highest']:<9,.0f} {row['rate_per_cpu_second']:>11,.0f}"
            else:
                took = row["seconds"]
                measured = f"{took['median']:>11.2f}s {took['lowest']:>9.2f}-{took['highest']:<9.2f} {'':>11}"
            lines.append(
                f"{row['case']:<12} {row['contender']:<24} {measured} {times['median']:>6.2f} {times['lowest']:>6.2f}-{times['highest']:<6.2f} "
                f"{row['compile_seconds']:>7.1f}s {row['peak_mb']:>8,}"
            )
        return "\n".join(lines)


def _word(name: str) -> str:
    return "_".join(name.replace(",", "").replace("-", "_").lower().split())
