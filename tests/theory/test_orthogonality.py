import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from panorax.core.errors import UserError
from panorax.testing.tolerances import LAYER, NUMBER
from panorax.theory.orthogonality import (
    Config,
    cosine_cdf,
    cosine_log_density,
    cosines,
    fit_together,
    largest_cosine,
    pairs,
    share_beyond,
    share_within,
    together,
)

KEY = jax.random.key(0)
D = (2, 3, 10, 1000, 10_000)
C = np.linspace(-0.99, 0.99, 23)


@pytest.mark.parametrize("d", D)
def test_the_cosine_is_a_beta_variable(d):
    beta = stats.beta((d - 1) / 2, (d - 1) / 2)
    np.testing.assert_allclose(cosine_cdf(jnp.asarray(C), d), beta.cdf((1 + C) / 2), **LAYER)
    few = C * min(1.0, 4 / d**0.5)
    exact = beta.logpdf((1 + few) / 2) - np.log(2)
    np.testing.assert_allclose(cosine_log_density(jnp.asarray(few, jnp.float32), d), exact, **LAYER)


def test_shares_within_and_beyond_a_width():
    np.testing.assert_allclose(share_within(jnp.float32(0.1), 3), 0.1, **NUMBER)
    np.testing.assert_allclose(
        share_within(jnp.float32(0.1), 2), 2 / np.pi * np.arcsin(0.1), **NUMBER
    )
    np.testing.assert_allclose(share_beyond(jnp.float32(0.1), 3), 0.9, **NUMBER)
    np.testing.assert_allclose(
        cosine_cdf(jnp.array([-1.0000001, 0.0, 1.0000001]), 2), [0, 0.5, 1], **NUMBER
    )
    exact = special.betainc((1000 - 1) / 2, 0.5, 1 - 0.2**2)
    np.testing.assert_allclose(share_beyond(jnp.float32(0.2), 1000), exact, **NUMBER)
    assert fit_together(0.2, 1000) == pytest.approx(exact**-0.5, rel=5e-3)


@pytest.mark.parametrize("d", [2, 3, 50])
def test_samples_follow_the_distribution(d):
    cdf = lambda c: cosine_cdf(jnp.asarray(c, jnp.float32), d)
    assert stats.kstest(np.asarray(cosines(KEY, d, 2000)), cdf).pvalue > 1e-3


def test_the_largest_cosine_is_between_two_different_directions():
    assert 0.99 < float(largest_cosine(KEY, 2, 40)) <= 1.0001
    assert float(largest_cosine(KEY, 4000, 2)) < 0.1


def test_sampled_pairs_agree_with_the_exact_law():
    metrics = pairs(KEY, Config(dims=(2, 3, 100), pairs=2000)).metrics
    assert metrics["near_d3"] == pytest.approx(0.1, abs=1e-5)
    assert metrics["largest_distance"] < 2.5 and metrics["largest_outside"] < 1.5
    assert metrics["near_low_d100"] < metrics["near_sampled_d100"] < metrics["near_high_d100"]
    assert metrics["d_times_variance_low_d100"] < 1.1
    assert metrics["d_times_variance_high_d100"] > 0.9


def test_more_directions_fit_together_in_more_dimensions():
    metrics = together(KEY, Config(dims=(2, 1000), together=20)).metrics
    assert metrics["fit_together_d2"] < 2 and metrics["fit_together_d1000"] > 20
    assert metrics["largest_cosine_together"] < 0.3


@pytest.mark.parametrize(
    "wrong", [dict(dims=()), dict(dims=(1,)), dict(pairs=1), dict(width=0.0), dict(together=1)]
)
def test_bad_input_is_refused(wrong):
    with pytest.raises(UserError, match="dims|pairs|width"):
        Config(**wrong)
