"""What a comparison says: a row for every contender, and the ratios as metrics that claims can be made about."""

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
            } | {fact: one.facts[fact] for fact in ("return",) if fact in one.facts}
            self.rows.append(row)
            self.metrics[f"{case}_{_word(name)}_ratio"] = row["ratio"]["median"]

    def shown(self) -> str:
        """The rows as text."""
        head = f"{'case':<12} {'contender':<24} {self.unit:>12} {'range':>19} {'per CPU-s':>11} {'ratio':>6} {'range':>13} {'compile':>8} {'peak MB':>8}"
        lines = [head]
        for row in self.rows:
            rate, times = row["rate"], row["ratio"]
            lines.append(
                f"{row['case']:<12} {row['contender']:<24} {rate['median']:>12,.0f} {rate['lowest']:>9,.0f}-{rate['highest']:<9,.0f} "
                f"{row['rate_per_cpu_second']:>11,.0f} {times['median']:>6.2f} {times['lowest']:>6.2f}-{times['highest']:<6.2f} "
                f"{row['compile_seconds']:>7.1f}s {row['peak_mb']:>8,}"
            )
        return "\n".join(lines)


def _word(name: str) -> str:
    return "_".join(name.replace(",", "").replace("-", "_").lower().split())
