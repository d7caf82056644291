import jax
import jax.numpy as jnp
import numpy as np
from scipy.linalg import sqrtm

from panorax.ops.frechet import frechet_distance, sliced_wasserstein
from panorax.testing.tolerances import LAYER

NOISE = {"rtol": 0.05}
"""sampling error of the mean over 4,000 projections"""

rng = np.random.default_rng(0)
A = (rng.normal(size=(300, 4)) @ rng.normal(size=(4, 4))).astype(np.float32)
B = (rng.normal(size=(200, 4)) + 1).astype(np.float32)
KEY = jax.random.key(0)


def test_frechet_distance_equals_the_formula_with_scipys_matrix_root():
    cov_a, cov_b = np.cov(A, rowvar=False), np.cov(B, rowvar=False)
    gap, root = A.mean(0) - B.mean(0), sqrtm(cov_a @ cov_b).real
    exact = np.sum(gap**2) + np.trace(cov_a + cov_b - 2 * root)
    np.testing.assert_allclose(jax.jit(frechet_distance)(A, B), exact, **LAYER)
    assert abs(float(frechet_distance(jnp.asarray(A), jnp.asarray(A)))) < 1e-3


def test_sliced_wasserstein_distance_of_a_reordering_and_of_a_shift():
    a = jnp.asarray(A)
    assert float(sliced_wasserstein(a, a[::-1], KEY)) < 1e-6
    shifted = float(sliced_wasserstein(a, a + jnp.array([[2.0, 0, 0, 0]]), KEY, 4000))
    # The mean square of a projection is |shift|^2 / D.
    np.testing.assert_allclose(shifted, 2 / np.sqrt(4), **NOISE)
