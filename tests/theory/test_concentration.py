import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from panorax.core.errors import UserError
from panorax.testing.tolerances import LAYER, MODEL, NUMBER
from panorax.theory.concentration import (
    Config,
    dimensions,
    gaussian_norm_cdf,
    gaussian_norm_moments,
    gaussian_norms,
    inside_ball,
    log_ball_cube_ratio,
    shell_fraction,
    uniform_in_ball,
)

D = np.array([1, 2, 3, 7, 20, 99, 100, 101, 1000, 100_000])
KEY = jax.random.key(0)


def test_ball_cube_ratio_is_the_gamma_function():
    few = D[:5]
    exact = np.pi ** (few / 2) / special.gamma(few / 2 + 1) / 2.0**few
    np.testing.assert_allclose(np.exp(log_ball_cube_ratio(jnp.asarray(few))), exact, **LAYER)
    np.testing.assert_allclose(
        np.exp(log_ball_cube_ratio(jnp.array([1.0, 2.0, 3.0]))),
        [1, np.pi / 4, np.pi / 6],
        **NUMBER,
    )


def test_norm_moments_equal_the_chi_distributions():
    mean, spread = gaussian_norm_moments(jnp.asarray(D))
    np.testing.assert_allclose(mean, stats.chi(D).mean(), **LAYER)
    exact = np.sqrt([float(stats.chi(int(d)).var()) if d < 1000 else 0.5 - 1 / (8 * d) for d in D])
    np.testing.assert_allclose(spread, exact, **MODEL)


@pytest.mark.parametrize("d", [1, 2, 7, 100, 10_000])
def test_norms_have_the_chi_distribution(d):
    x = np.maximum(d**0.5 + np.linspace(-2, 2, 9), 0)
    atol = 3e-3 if d > 1000 else 2e-5  # gammainc(5000, x) in float32 is rough
    np.testing.assert_allclose(gaussian_norm_cdf(jnp.asarray(x), d), stats.chi(d).cdf(x), atol=atol)


def test_shell_fraction():
    np.testing.assert_allclose(
        shell_fraction(jnp.asarray(D), 0.01), 1 - 0.99 ** D.astype(float), **NUMBER
    )
    assert float(shell_fraction(jnp.array(3), 1.0)) == 1


def test_samples_follow_the_exact_distributions():
    assert stats.kstest(np.asarray(gaussian_norms(KEY, 5, 2000)), stats.chi(5).cdf).pvalue > 1e-3
    radius = np.linalg.norm(uniform_in_ball(KEY, 4, 2000), axis=1)
    assert stats.kstest(radius, lambda r: np.clip(r, 0, 1) ** 4).pvalue > 1e-3
    assert abs(float(inside_ball(KEY, 2, 4000)) - np.pi / 4) < 0.03


def test_sampled_values_lie_near_the_exact_ones():
    metrics = dimensions(KEY, Config(dims=(2, 50), samples=500)).metrics
    low, high = metrics["norm_over_sqrt_d_low_d50"], metrics["norm_over_sqrt_d_high_d50"]
    assert low < metrics["norm_over_sqrt_d_d50"] < high
    assert metrics["largest_norm_distance"] < 2.5 and metrics["largest_z"] < 5
    assert abs(metrics["ball_cube_ratio_d2"] - np.pi / 4) < 1e-6


def test_a_ratio_below_float32_is_not_zero():
    metrics = dimensions(KEY, Config(dims=(100,), samples=2)).metrics
    assert 0 < metrics["ball_cube_ratio_d100"] < 1e-60


@pytest.mark.parametrize(
    "wrong", [dict(dims=()), dict(dims=(0,)), dict(samples=1), dict(shell=0.0)]
)
def test_bad_input_is_refused(wrong):
    with pytest.raises(UserError, match="dims|samples|shell"):
        Config(**wrong)
