import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from panorax.core.errors import UserError
from panorax.maths.optimisation.fisher import GAUSSIAN, fisher_matrix, natural_gradient
from panorax.theory.natural_gradient.kfac_training import autoencoder
from panorax.theory.natural_gradient.study import Config, line, race, two_matrices


def test_a_natural_step_solves_least_squares():
    outputs, t = line(40, 1.0, np.random.default_rng(0))
    gradient = jax.grad(lambda p: jnp.mean(GAUSSIAN.loss(outputs(p), t)))(jnp.array([5.0, -3.0]))
    found = jnp.array([5.0, -3.0]) - natural_gradient(
        fisher_matrix(outputs, GAUSSIAN, jnp.zeros(2)), gradient
    )
    x = outputs(jnp.array([0.0, 1.0]))[:, 0]
    np.testing.assert_allclose(found[::-1], np.polyfit(x, t[:, 0], 1), rtol=1e-4)


def test_two_matrices_differ_as_residuals_do():
    metrics, (nodes, fields, paths, least, _) = two_matrices(
        Config(points=1000), np.random.default_rng(0), jax.random.key(0)
    )
    assert metrics["empirical_over_fisher_right_noise"] == pytest.approx(1, abs=0.2)
    assert metrics["empirical_over_fisher_wrong_noise"] == pytest.approx(4, abs=0.8)
    assert metrics["sampled_fisher_gap"] < 0.03 and metrics[
        "length_natural_far_over_near"
    ] == pytest.approx(1, rel=1e-3)
    # the square of the residuals, (30^2 + v) / (3^2 + v) times as large, for a gradient 10 times as large
    assert metrics["length_empirical_far_over_near"] == pytest.approx(13 / 904, rel=0.2)
    assert metrics["least_cosine_natural"] > 0.999 > 0.9 > metrics["least_cosine_empirical"]
    assert (
        fields["natural gradient"].shape == nodes.shape
        and np.linalg.norm(paths["natural gradient"][:, -1] - least[None], axis=1).max() < 0.02
    )


def test_a_race_takes_the_setting_with_fewest_steps():
    problem = autoencoder((64, 2, 64))
    found = race(
        problem, {"adam": (optax.adam, (1e-5, 1e-2, 1e3), 20)}, 30.0, 5, 32, 2, jax.random.key(0)
    )
    steps, best, losses, seconds = found["adam"]
    assert best == 1e-2 and losses.shape == (2, 20) and seconds > 0 and steps <= 21


def test_bad_input_is_refused():
    with pytest.raises(UserError, match="must not be empty"):
        Config(dampings=())
    with pytest.raises(UserError, match="at least 10"):
        Config(steps=9)
    with pytest.raises(UserError, match="below 1"):
        Config(sgd_momenta=(1.0,))
    with pytest.raises(UserError, match="dampings must be above 0"):
        Config(dampings=(0.0,))
