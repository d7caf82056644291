import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from panorax.maths.estimates import (
    kolmogorov_distance,
    mean_interval,
    share_interval,
    student_interval,
)
from panorax.testing.tolerances import MODEL, NUMBER


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_share_interval_matches_scipys_wilson_interval(case):
    hits, n = case
    exact = stats.binomtest(hits, n).proportion_ci(0.95, "wilson")
    np.testing.assert_allclose(share_interval(hits, n), (exact.low, exact.high), **NUMBER)


def test_mean_interval_matches_students_for_many_samples():
    x = np.random.default_rng(0).exponential(size=5000)
    np.testing.assert_allclose(
        mean_interval(x), stats.t.interval(0.95, len(x) - 1, x.mean(), stats.sem(x)), **MODEL
    )


def test_kolmogorov_distance_matches_scipy():
    x = np.random.default_rng(0).normal(0.1, size=300)
    assert kolmogorov_distance(x, stats.norm.cdf) == pytest.approx(
        stats.kstest(x, stats.norm.cdf).statistic, abs=1e-12
    )
    assert kolmogorov_distance([0.5], lambda x: x) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: share_interval(3, 2),
        lambda: share_interval(0, 0),
        lambda: share_interval(-1, 2),
        lambda: mean_interval([1.0]),
    ],
)
def test_bad_input_is_refused(wrong):
    with pytest.raises(ValueError, match="hits must lie|two samples"):
        wrong()


def test_the_interval_of_a_mean_has_the_unbiased_variance():
    low, high = mean_interval(np.array([1.0, 3.0]))  # variance 2, standard error 1
    np.testing.assert_allclose([low, high], [2 - 1.959964, 2 + 1.959964], **NUMBER)


def test_the_interval_of_few_samples_is_students():
    x = np.array([1.0, 3.0, 4.0])
    expected = stats.t.interval(0.95, 2, x.mean(), stats.sem(x))
    np.testing.assert_allclose(student_interval(x), expected, **NUMBER)
