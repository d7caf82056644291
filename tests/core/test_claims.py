import pytest
from hypothesis import given
from hypothesis import strategies as st

from panorax.core.claims import RELATIONS, Claim, Verdict, judged, shown, verdicts

NUMBERS = st.floats(-1e6, 1e6)


@given(NUMBERS, NUMBERS, st.sampled_from(sorted(RELATIONS)))
def test_a_bound_is_a_number_or_another_metric(x, y, relation):
    number = Claim("x", relation, y, "").check({"x": x})
    metric = Claim("x", relation, "y", "").check({"x": x, "y": y})
    assert number.kept == metric.kept == eval(f"{x!r} {relation} {y!r}")
    assert number.bound == metric.bound == y and number.measured == metric.measured == x


@pytest.mark.parametrize("metrics", [{}, {"x": 1.0}, {"y": 1.0}])
def test_a_claim_without_a_measured_value_is_not_kept(metrics):
    verdict = Claim("x", "<=", "y", "").check(metrics)
    assert not verdict.kept and "not measured" in str(verdict)


def test_nan_is_not_kept():
    assert not any(
        Claim("x", relation, 0.0, "").check({"x": float("nan")}).kept for relation in RELATIONS
    )


def test_a_verdict_reads_as_a_sentence_and_survives_json():
    [plain] = verdicts((Claim("loss", "<", "baseline", "a paper"),), {"loss": 1.0, "baseline": 2.0})
    assert str(Verdict(**plain)) == "kept      loss < baseline (2): 1  [a paper]"


def test_claims_are_judged_only_on_their_own_options():
    claim = Claim("loss", "<", 3.0, "a paper")
    assert shown(judged((claim,), {"loss": 1.0}, {})) == str(claim.check({"loss": 1.0}))
    other = judged((claim,), {"loss": 1.0}, {"data.path": (None, "x"), "run.steps": (400, 8)})
    assert other["claims"] == [] and shown(other) == (
        "claims not judged: options differ from those the claims are about: "
        "data.path x (not None), run.steps 8 (not 400)"
    )
    assert shown(judged((), {}, {"batch": (1, 2)})) == ""
    many = judged((claim,), {"loss": 1.0}, {name: (1, 2) for name in "abcde"})
    assert shown(many).endswith("about: a 2 (not 1), b 2 (not 1), c 2 (not 1), d 2 (not 1), ...")
