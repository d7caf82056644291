import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import rosen

from panorax.maths.optimisation.objectives import beale, rosenbrock
from panorax.testing.tolerances import NUMBER


def test_rosenbrock_is_scipys():
    x = np.random.default_rng(0).normal(size=7)
    np.testing.assert_allclose(rosenbrock(jnp.asarray(x, jnp.float32)), rosen(x), **NUMBER)


def test_minima_are_zero_with_zero_gradient():
    for f, minimum in ((rosenbrock, jnp.ones(5)), (beale, jnp.array([3.0, 0.5]))):
        value, gradient = jax.value_and_grad(f)(minimum)
        assert float(value) == 0 and not gradient.any()
    np.testing.assert_allclose(beale(jnp.array([1.0, 1.0])), 1.5**2 + 2.25**2 + 2.625**2)
