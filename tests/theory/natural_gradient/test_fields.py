import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.maths.optimisation.fisher import GAUSSIAN, fisher_matrix, natural_gradient
from panorax.testing.tolerances import NUMBER
from panorax.theory.natural_gradient.fields import fields, fitted, flow, line, nodes, rules_of


def test_a_natural_step_solves_least_squares():
    outputs, t = line(40, 1.0, np.random.default_rng(0))
    p = jnp.array([5.0, -3.0])
    gradient = jax.grad(lambda p: jnp.mean(GAUSSIAN.loss(outputs(p), t)))(p)
    after = p - natural_gradient(fisher_matrix(outputs, GAUSSIAN, jnp.zeros(2)), gradient)
    x = outputs(jnp.array([0.0, 1.0]))[:, 0]
    np.testing.assert_allclose(after[::-1], np.polyfit(x, t[:, 0], 1), **NUMBER)


def test_empirical_matrix_scales_with_the_residuals():
    metrics = fields(jax.random.key(0), points=1000).metrics
    assert metrics["empirical_over_fisher_right_noise"] == pytest.approx(1, abs=0.2)
    assert metrics["empirical_over_fisher_wrong_noise"] == pytest.approx(4, abs=0.8)
    assert metrics["sampled_fisher_gap"] < 0.03
    assert metrics["length_natural_far_over_near"] == pytest.approx(1, rel=1e-3)
    # squared residuals are (30^2 + v) / (3^2 + v) times as large, the gradient is 10 times as large
    assert metrics["length_empirical_far_over_near"] == pytest.approx(13 / 904, rel=0.2)
    assert metrics["least_cosine_natural"] > 0.999 > 0.9 > metrics["least_cosine_empirical"]


def test_natural_paths_end_at_the_minimum():
    wrong = fitted(1000, 4.0, np.random.default_rng(0))
    natural = flow(rules_of(wrong)["natural"])
    assert natural.arrows_G2.shape == nodes().shape
    last = natural.paths_PS2[:, -1]
    assert np.linalg.norm(last - np.asarray(wrong.least)[None], axis=1).max() < 0.02
