import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import linalg

from panorax.core.errors import UserError
from panorax.testing.tolerances import LAYER, NUMBER, SAME
from panorax.theory.linear_maps import (
    Config,
    digits,
    low_rank,
    numerical_rank,
    planes,
    polar,
    projection,
    rank,
    rotation,
    scaling,
    shear,
    tails,
)

KEY = jax.random.key(0)
seeds = st.integers(0, 2**32 - 1)


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@given(seeds)
def test_polar_agrees_with_scipy(seed):
    a = draw(seed, 4, 4)
    r, s = jax.jit(polar)(a)
    expected_r, expected_s = linalg.polar(a.astype(np.float64))
    np.testing.assert_allclose(s, expected_s, **LAYER)
    np.testing.assert_allclose(r @ s, a, **LAYER)
    if np.linalg.svd(a, compute_uv=False)[-1] > 0.05:
        np.testing.assert_allclose(r, expected_r, **LAYER)


@given(seeds, st.integers(0, 4))
def test_no_matrix_of_low_rank_is_nearer(seed, k):
    a = draw(seed, 6, 4)
    nearest, s = low_rank(a, k), np.linalg.svd(a, compute_uv=False)
    assert int(numerical_rank(nearest)) <= k
    np.testing.assert_allclose(np.linalg.norm(a - nearest), tails(s)[k], **LAYER)
    np.testing.assert_allclose(np.linalg.norm(a - nearest, 2), np.append(s, 0)[k], **LAYER)
    rival = draw(seed + 1, 6, k) @ draw(seed + 2, k, 4)
    assert np.linalg.norm(a - rival) >= np.linalg.norm(a - nearest) - 1e-4


def test_maps_of_the_plane():
    np.testing.assert_allclose(rotation(np.pi / 2) @ jnp.array([1.0, 0.0]), [0, 1], **SAME)
    np.testing.assert_allclose(rotation(0.3) @ rotation(0.4), rotation(0.7), **NUMBER)
    np.testing.assert_allclose(scaling(2, 3) @ jnp.ones(2), [2, 3])
    np.testing.assert_allclose(shear(0.5) @ jnp.array([1.0, 2.0]), [2, 2])
    p = projection(0.4)
    np.testing.assert_allclose(p @ p, p, **NUMBER)


def test_rank():
    assert int(numerical_rank(draw(0, 7, 3) @ draw(1, 3, 5))) == 3
    assert int(numerical_rank(np.zeros((2, 3), np.float32))) == 0
    assert int(numerical_rank(np.eye(1, dtype=np.float32))) == 1


def test_determinants_and_ranks_of_the_planes():
    metrics = planes(KEY).metrics
    assert metrics["rotation_determinant"] == pytest.approx(1, abs=1e-5)
    assert metrics["shear_determinant"] == pytest.approx(1, abs=1e-5)
    assert (metrics["rotation_rank"], metrics["projection_rank"]) == (2, 1)


def test_a_map_of_low_rank_flattens_data():
    metrics = rank(KEY, Config(width=12, rank=3, points=20)).metrics
    assert (metrics["rank_before"], metrics["rank_after"]) == (12, 3)


def test_more_directions_keep_more_of_the_digits():
    metrics = digits(KEY, Config(width=12, rank=3, points=20, rivals=3)).metrics
    assert metrics["digits_kept_1"] < metrics["digits_kept_40"] < 1
    assert metrics["eckart_young_largest_gap"] < 1e-4 and metrics["rivals_best_over_exact"] > 1


def test_bad_input_is_refused():
    with pytest.raises(UserError, match="rank 12 must be below width 12"):
        Config(width=12, rank=12)
    with pytest.raises(ValueError, match="rank 5 is not between 0 and 4"):
        low_rank(draw(0, 6, 4), 5)
