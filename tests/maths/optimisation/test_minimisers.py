import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize

from panorax.maths.optimisation.minimisers import MINIMISERS, conjugate_gradients, line_search
from panorax.maths.optimisation.objectives import beale, rosenbrock
from panorax.testing.tolerances import DOUBLE, LAYER, NUMBER

PROBLEMS = {
    "rosenbrock_2": (rosenbrock, np.array([-1.2, 1.0])),
    "rosenbrock_10": (rosenbrock, np.zeros(10)),
    "beale": (beale, np.array([1.0, 1.0])),
}
SEARCH = jax.jit(lambda x, p, value, gradient: line_search(rosenbrock, x, p, value, gradient))


@pytest.mark.parametrize("method", MINIMISERS)
@pytest.mark.parametrize("name", PROBLEMS)
def test_every_method_finds_scipys_minimum_and_never_rises(method, name):
    f, x = PROBLEMS[name]
    with jax.enable_x64(True):
        ours = jax.jit(lambda x: MINIMISERS[method](f, x))(x)
        scipys = optimize.minimize(
            lambda x: float(f(jnp.asarray(x))),
            x,
            jac=lambda x: np.asarray(jax.grad(f)(x)),
            method="BFGS",
        )
        assert float(ours.value) < 1e-9 and float(jnp.abs(ours.gradient).max()) < 1e-5
    np.testing.assert_allclose(ours.x, scipys.x, **LAYER)
    assert method != "bfgs" or int(ours.steps) <= 1.2 * scipys.nit + 2
    values, steps = np.asarray(ours.values), int(ours.steps)
    assert np.isfinite(values[: steps + 1]).all() and np.isnan(values[steps + 1 :]).all()
    assert (np.diff(values[: steps + 1]) <= 0).all()


@pytest.mark.parametrize("method", MINIMISERS)
def test_a_quadratic_of_one_dimension_and_a_start_at_the_minimum(method):
    square = lambda x: jnp.sum(jnp.square(x - 3.0))
    solve = jax.jit(lambda x: MINIMISERS[method](square, x))
    np.testing.assert_allclose(solve(jnp.zeros(1)).x, [3.0], **NUMBER)
    assert int(solve(jnp.full(1, 3.0)).steps) == 0


@given(st.integers(0, 2**32 - 1))
def test_line_search_satisfies_the_strong_wolfe_conditions(seed):
    rng = np.random.default_rng(seed)
    x, scale = jnp.asarray(rng.normal(size=2), jnp.float32), float(10 ** rng.uniform(-2, 1))
    value, gradient = jax.value_and_grad(rosenbrock)(x)
    p = -scale * gradient / jnp.linalg.norm(gradient)
    a, after, slope = SEARCH(x, p, value, gradient)
    assert float(after) <= float(value + 1e-4 * a * p @ gradient) + 1e-4 * abs(float(value))
    assert abs(float(p @ slope)) <= 0.9 * abs(float(p @ gradient)) * 1.01 + 1e-4


def test_conjugate_gradients_stop_at_the_border_and_at_negative_curvature():
    h, g = jnp.diag(jnp.array([1.0, 4.0, 9.0])), jnp.array([1.0, 2.0, -3.0])
    with jax.enable_x64(True):
        p = conjugate_gradients(lambda v: h @ v, 1e-9 * g.astype(jnp.float64), jnp.inf, 50)
    np.testing.assert_allclose(p, -1e-9 * np.linalg.solve(h, g), **DOUBLE)
    p = conjugate_gradients(lambda v: h @ v, g, 0.1, 50)
    assert float(jnp.linalg.norm(p)) == pytest.approx(0.1, rel=1e-4)
    indefinite = jnp.diag(jnp.array([1.0, -1.0, 1.0]))
    p = conjugate_gradients(lambda v: indefinite @ v, g, 2.0, 50)
    assert float(jnp.linalg.norm(p)) == pytest.approx(2.0, rel=1e-4) and float(g @ p) < 0
