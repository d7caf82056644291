"""Claims: predicates over the metrics of a run, with their sources; the run reports verdicts."""

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

INDEPENDENT = (  # options that no claim depends on
    "seed",
    "mesh",
    "run.seed",
    "run.chunk",
    "run.eval-every",
    "run.save-every",
    "run.keep",
)


@dataclass(frozen=True)
class Claim:
    """The predicate `metric relation bound`."""

    metric: str
    """name of the metric"""
    relation: Literal["<", "<=", ">", ">=", "=="]
    """comparison of the metric with the bound"""
    bound: float | str
    """a number, or the name of another metric of the same run"""
    source: str
    """paper that makes the claim, and the claim in one sentence"""

    def check(self, metrics: dict[str, float]) -> "Verdict":
        """The verdict of a run; a claim is not kept if its metric or bound was not measured."""
        measured = metrics.get(self.metric)
        bound = metrics.get(self.bound) if isinstance(self.bound, str) else self.bound
        kept = (
            measured is not None
            and bound is not None
            and bool(RELATIONS[self.relation](measured, bound))
        )
        claim = f"{self.metric} {self.relation} {self.bound}"
        return Verdict(claim, self.source, measured, bound, kept)


@dataclass(frozen=True)
class Verdict:
    """A claim with the value that a run measured."""

    claim: str
    """the predicate as text"""
    source: str
    """source of the claim"""
    measured: float | None
    """value of the metric, None if it was not measured"""
    bound: float | None
    """value of the bound, None if it was not measured"""
    kept: bool
    """True if the predicate holds"""

    def __str__(self):
        number = lambda x: "not measured" if x is None else f"{x:.6g}"
        bound = "" if self.claim.endswith(f" {self.bound}") else f" ({number(self.bound)})"
        kept = "kept    " if self.kept else "NOT KEPT"
        return f"{kept}  {self.claim}{bound}: {number(self.measured)}  [{self.source}]"


def verdicts(claims: tuple[Claim, ...], metrics: dict[str, float]) -> list[dict]:
    """The verdicts of a run on all claims, as plain data for result.json."""
    return [asdict(claim.check(metrics)) for claim in claims]


def judged(
    claims: tuple[Claim, ...], metrics: dict[str, float], deviations: dict[str, tuple]
) -> dict:
    """The entries of result.json about claims: `claims`, the verdicts on all claims.

    A claim is about one config. If the config of a run deviates from it by some options, `claims`
    is empty and `not_judged` holds these options, `{"batch": (value of the config, of the run)}`.
    """
    if deviations and claims:
        return {"claims": [], "not_judged": deviations}
    return {"claims": verdicts(claims, metrics)}


def shown(result: dict) -> str:
    """A line for each verdict of a result, or a line with the options that prevent verdicts."""
    deviations = [
        f"{name} {ours} (not {theirs})"
        for name, (theirs, ours) in result.get("not_judged", {}).items()
    ]
    if deviations:
        listed = ", ".join(deviations[:4]) + (", ..." if deviations[4:] else "")
        return f"claims not judged: options differ from those the claims are about: {listed}"
    return "\n".join(str(Verdict(**verdict)) for verdict in result["claims"])
