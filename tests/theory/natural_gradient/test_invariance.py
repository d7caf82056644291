import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.testing.tolerances import NUMBER
from panorax.theory.natural_gradient.invariance import (
    affine_gaps,
    block_gap,
    curved_gaps,
    draw_map,
    draw_perceptron,
    kfac_gaps,
    problem,
    tapped_perceptron,
)


def test_natural_steps_are_invariant_and_plain_steps_are_not():
    with jax.enable_x64(True):
        gaps = affine_gaps(np.random.default_rng(1), (2, 3, 2), 60)
        curved = curved_gaps(np.random.default_rng(2), (2, 3, 2), 60, np.array([0.01, 0.001]))
    assert gaps["natural"] < 1e-10 and gaps["plain"] > 0.1
    assert curved[0] / curved[1] == pytest.approx(10, rel=0.1) and curved[0] < 0.5


def test_kfac_without_damping_is_invariant_to_affine_maps_around_layers():
    with jax.enable_x64(True):
        gaps = kfac_gaps(np.random.default_rng(3), (2, 3, 2), 80, np.array([0.0, 0.1]))
    assert gaps[0] < 1e-10 and gaps[1] > 1e-3


def test_kfac_blocks_are_exact_for_linear_nets_only():
    with jax.enable_x64(True):
        assert block_gap(np.random.default_rng(4), (3, 4, 2), 40, lambda s: s) < 1e-13
        assert block_gap(np.random.default_rng(4), (3, 4, 2), 40, jnp.tanh) > 0.01


def test_maps_apply_before_and_after_a_layer():
    rng = np.random.default_rng(5)
    params, x = draw_perceptron(rng, (2, 3)), jnp.asarray(rng.normal(size=(4, 2)))
    omega = jnp.asarray(np.vstack([rng.normal(size=(2, 3)), [0, 0, 1]]))
    phi = jnp.asarray(rng.normal(size=(3, 3)))
    z, (a,) = tapped_perceptron(params, (0.0,), x, ((omega, phi),))
    for n in range(4):
        mapped = omega @ jnp.append(x[n], 1.0)
        np.testing.assert_allclose(a[n], mapped[:2], **NUMBER)
        np.testing.assert_allclose(
            z[n], phi @ (params[0]["w"].T @ mapped[:2] + params[0]["b"]), **NUMBER
        )
    assert np.linalg.cond(draw_map(rng, 5)) == pytest.approx(4, rel=1e-3)


def test_too_few_points_are_refused():
    with pytest.raises(ValueError, match="3 points with 2 outputs cannot determine 17"):
        problem(np.random.default_rng(0), (2, 3, 2), 3)
