"""A claim is a predicate over the metrics of a run, with its source; the run reports whether it was kept."""

import operator
from dataclasses import asdict, dataclass
from typing import Literal

RELATIONS = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}


@dataclass(frozen=True)
class Claim:
    """`metric relation bound`, where the bound is a number or the name of another metric of the same run."""

    metric: str
    relation: Literal["<", "<=", ">", ">=", "=="]
    bound: float | str
    source: str

    def check(self, metrics: dict[str, float]) -> "Verdict":
        """The verdict of one run: not kept if the metric or the bound was not measured."""
        measured = metrics.get(self.metric)
        bound = metrics.get(self.bound) if isinstance(self.bound, str) else self.bound
        kept = (
            measured is not None
            and bound is not None
            and bool(RELATIONS[self.relation](measured, bound))
        )
        return Verdict(
            f"{self.metric} {self.relation} {self.bound}", self.source, measured, bound, kept
        )


@dataclass(frozen=True)
class Verdict:
    """A claim with the value that a run measured."""

    claim: str
    source: str
    measured: float | None
    bound: float | None
    kept: bool

    def __str__(self):
        number = lambda x: "not measured" if x is None else f"{x:.6g}"
        bound = "" if self.claim.endswith(f" {self.bound}") else f" ({number(self.bound)})"
        return f"{'kept    ' if self.kept else 'NOT KEPT'}  {self.claim}{bound}: {number(self.measured)}  [{self.source}]"


def verdicts(claims: tuple[Claim, ...], metrics: dict[str, float]) -> list[dict]:
    """The verdicts of one run on all claims, as plain data for result.json."""
    return [asdict(claim.check(metrics)) for claim in claims]
