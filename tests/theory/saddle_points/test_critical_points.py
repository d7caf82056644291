import jax
import numpy as np
import pytest

from panorax.maths import random_fields
from panorax.theory.saddle_points.critical_points import expected_points, kac_rice, search

NOISE = {"atol": 0.15}
"""sampling error of mean values from 3,000 matrices"""


def test_shares_values_and_errors_of_the_kac_rice_formula():
    matrices = random_fields.goe(jax.random.key(0), 3000, 4)
    for d, exact in random_fields.MINIMA.items():
        theory = kac_rice(matrices, d)
        assert abs(theory.minima - exact) < 4 * theory.error and 0.001 < theory.error < 0.02
        assert theory.shares.sum() == pytest.approx(1)
        np.testing.assert_allclose(theory.values, -theory.values[::-1], **NOISE)
        assert (np.diff(theory.values) > 0).all()
        weight, _ = random_fields.kac_rice(matrices[:, : d + 1, : d + 1])
        w = np.asarray(weight, np.float64)
        jackknife = (w[:, 0].sum() - w[:, 0]) / (w.sum() - w.sum(1))
        assert theory.error == pytest.approx(jackknife.std() * len(w) ** 0.5, rel=0.01)


def test_search_finds_as_many_points_as_the_formula_counts():
    found = search(2, jax.random.key(1), n_fields=60, starts=60, features=64)
    expected = expected_points(random_fields.goe(jax.random.key(2), 20_000, 3), 2)
    assert len(found.points) == 60
    assert found.points.sum() == len(found.value) == len(found.index)
    assert found.minima.sum() == (found.index == 0).sum()
    assert abs(found.points.mean() - expected) < 4 * found.points.std() / 60**0.5
    minima, saddles, maxima = (found.value[found.index == k].mean() for k in range(3))
    assert minima < saddles < maxima and 0 < found.starts_in_minima < 1
