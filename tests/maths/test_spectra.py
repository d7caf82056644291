import numpy as np
import pytest

from panorax.maths.spectra import outliers, subspace_overlap


def test_outliers_end_at_the_largest_ratio():
    assert outliers(np.array([100.0, 9, 8, 7, 1, 0.9, 0.8])) == 4
    assert outliers(np.array([9.0, 8, 7, 1, 0.5, 0.1, 0.001, -1]), most=5) == 3
    assert outliers(np.array([9.0, 8, 7, 1, 0.5, 0.1, 0.001, -1])) == 6
    assert outliers(np.array([5.0, 4, 1, -2])) == 2


@pytest.mark.parametrize("bad", [[1.0, 2, 3, 4], [3.0, 2], [2.0, 1, -1, -2], [np.nan, 2, 1, 0.5]])
def test_eigenvalues_that_rise_or_are_too_few_are_refused(bad):
    with pytest.raises(ValueError, match="eigenvalues must fall, and at least 3 must be positive"):
        outliers(np.array(bad))


def test_overlap_of_equal_orthogonal_and_intersecting_subspaces():
    frame = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))[0]
    rotated = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0] @ frame[:3]
    assert float(subspace_overlap(frame[:3], rotated)) == pytest.approx(1)
    assert float(subspace_overlap(frame[:3], frame[3:])) == pytest.approx(0, abs=1e-12)
    assert float(subspace_overlap(frame[:2], frame[1:3])) == pytest.approx(0.5)
