import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core.errors import UserError
from panorax.testing.tolerances import NUMBER
from panorax.theory.dot_product import (
    Config,
    dimensions,
    scores,
    softmax_jacobian,
    softmax_jacobian_norm,
)

KEY = jax.random.key(0)


def test_the_jacobian_of_softmax_agrees_with_jax():
    s = jax.random.normal(KEY, (5,)) * 2
    np.testing.assert_allclose(softmax_jacobian(s), jax.jacobian(jax.nn.softmax)(s), **NUMBER)
    np.testing.assert_allclose(
        softmax_jacobian_norm(s), jnp.linalg.norm(softmax_jacobian(s)), **NUMBER
    )


def test_the_jacobian_vanishes_at_a_one_hot_vector_and_is_largest_at_two_halves():
    norm = lambda *s: float(softmax_jacobian_norm(jnp.array(s)))
    assert norm(100.0, 0.0, 0.0) == 0 and norm(0.0) == 0
    assert norm(0.0, 0.0, -100.0) == pytest.approx(0.5, rel=1e-5) and norm(0.0, 0.0, 0.0) < 0.5


def test_scores_have_the_moments_of_a_dot_product():
    s = np.asarray(scores(KEY, 4, 4000, 2), np.float64)
    assert s.shape == (4000, 2) and abs(s.mean()) < 0.1
    assert s.var() == pytest.approx(4, rel=0.1)
    assert (s**4).mean() / s.var() ** 2 - 3 == pytest.approx(6 / 4, abs=0.7)
    assert abs(np.mean(s[:, 0] * s[:, 1])) < 0.3


def test_division_keeps_the_jacobian_and_avoids_saturation():
    metrics = dimensions(KEY, Config(dims=(16, 256), keys=8, queries=400)).metrics
    assert metrics["jacobian_plain_d256"] < metrics["jacobian_scaled_d256"]
    assert metrics["jacobian_scaled_d256"] == pytest.approx(metrics["jacobian_scaled_d16"], rel=0.1)
    assert metrics["saturated_plain_d256"] > metrics["saturated_scaled_d256"]
    assert metrics["entropy_plain_d256"] < metrics["entropy_scaled_d256"]
    low, high = metrics["variance_low_d16"], metrics["variance_high_d16"]
    assert low < metrics["variance_over_d_d16"] < high


@pytest.mark.parametrize("wrong", [dict(dims=()), dict(dims=(0,)), dict(keys=1), dict(queries=1)])
def test_bad_input_is_refused(wrong):
    with pytest.raises(UserError, match="dims|keys|queries"):
        Config(**wrong)
