import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.flatten_util import ravel_pytree
from scipy import optimize

from panorax.core.errors import UserError
from panorax.maths.optimisation.curvature import (
    empirical_fisher_product,
    gauss_newton_product,
    hessian_product,
    to_vectors,
)
from panorax.maths.optimisation.minimisers import MINIMISERS, conjugate_gradients, line_search
from panorax.theory.second_order import Config, beale, order, problems, rosenbrock, study

RNG = np.random.default_rng(0)
PARAMS = {
    "w": jnp.asarray(RNG.normal(size=(3, 4)), jnp.float32),
    "b": jnp.asarray(RNG.normal(size=4), jnp.float32),
}
X, LABEL = jnp.asarray(RNG.normal(size=(6, 3)), jnp.float32), jnp.asarray(RNG.integers(0, 4, 6))
V = jax.tree.map(jnp.cos, PARAMS)


def outputs(params):
    return jnp.tanh(X @ params["w"]) * 2 + params["b"][None]


def losses(logits):
    return jax.nn.logsumexp(logits, 1) - jnp.take_along_axis(logits, LABEL[:, None], 1)[:, 0]


def close(tree, vector, **tolerance):
    np.testing.assert_allclose(
        ravel_pytree(tree)[0], vector, **{"rtol": 1e-4, "atol": 1e-5} | tolerance
    )


def test_products_are_those_of_the_matrices():
    f, x, _ = to_vectors(lambda params: jnp.mean(losses(outputs(params))), PARAMS)
    v = ravel_pytree(V)[0]
    close(
        hessian_product(lambda params: jnp.mean(losses(outputs(params))), PARAMS, V),
        jax.hessian(f)(x) @ v,
    )
    g, _, _ = to_vectors(outputs, PARAMS)
    jacobian = jax.jacobian(g)(x).reshape(6, 4, -1)
    p = jax.nn.softmax(outputs(PARAMS), 1)
    fisher = (
        sum(j.T @ (jnp.diag(q) - jnp.outer(q, q)) @ j for j, q in zip(jacobian, p, strict=True)) / 6
    )
    close(
        gauss_newton_product(outputs, lambda logits: jnp.mean(losses(logits)), PARAMS, V),
        fisher @ v,
    )
    slopes = jax.jacobian(lambda x: losses(g(x)))(x)
    close(
        empirical_fisher_product(lambda params: losses(outputs(params)), PARAMS, V),
        slopes.T @ (slopes @ v) / 6,
    )
    np.testing.assert_allclose(
        jax.vmap(lambda v: hessian_product(f, x, v))(jnp.eye(16)), jax.hessian(f)(x), atol=1e-5
    )


@pytest.mark.parametrize("method", MINIMISERS)
@pytest.mark.parametrize("name", ["rosenbrock_2", "rosenbrock_10", "beale"])
def test_a_minimum_is_scipys(method, name):
    f, x, least = problems(Config(dims=(2, 10)))[name]
    with jax.enable_x64(True):
        found = jax.jit(lambda x: MINIMISERS[method](f, x))(x)
        theirs = optimize.minimize(
            lambda x: float(f(jnp.asarray(x))),
            x,
            jac=lambda x: np.asarray(jax.grad(f)(x)),
            method="BFGS",
        )
        assert float(found.value) < least + 1e-9 and float(jnp.abs(found.gradient).max()) < 1e-5
        np.testing.assert_allclose(found.x, theirs.x, atol=1e-4)
        assert method != "bfgs" or int(found.steps) <= 1.2 * theirs.nit + 2
        values = np.asarray(found.values)
        assert (
            np.isfinite(values[: int(found.steps) + 1]).all()
            and np.isnan(values[int(found.steps) + 1 :]).all()
        )
        assert (np.diff(values[: int(found.steps) + 1]) <= 0).all()


@pytest.mark.parametrize("method", MINIMISERS)
def test_a_quadratic_of_one_dimension_and_a_minimum_at_the_start(method):
    found = jax.jit(lambda x: MINIMISERS[method](lambda x: jnp.sum(jnp.square(x - 3.0)), x))(
        jnp.zeros(1)
    )
    np.testing.assert_allclose(found.x, [3.0], rtol=1e-4)
    assert (
        int(
            jax.jit(lambda x: MINIMISERS[method](lambda x: jnp.sum(jnp.square(x - 3.0)), x))(
                jnp.full(1, 3.0)
            ).steps
        )
        == 0
    )


@given(st.integers(0, 2**32 - 1))
def test_a_step_of_the_line_search_fulfils_wolfes_conditions(seed):
    rng = np.random.default_rng(seed)
    x, scale = jnp.asarray(rng.normal(size=2), jnp.float32), float(10 ** rng.uniform(-2, 1))
    value, gradient = jax.value_and_grad(rosenbrock)(x)
    p = -scale * gradient / jnp.linalg.norm(gradient)
    a, found, slope = SEARCH(x, p, value, gradient)
    assert float(found) <= float(value + 1e-4 * a * p @ gradient) + 1e-4 * abs(float(value))
    assert abs(float(p @ slope)) <= 0.9 * abs(float(p @ gradient)) * 1.01 + 1e-4


SEARCH = jax.jit(lambda x, p, value, gradient: line_search(rosenbrock, x, p, value, gradient))


def test_conjugate_gradients_stop_at_the_border_and_at_negative_curvature():
    h, g = jnp.diag(jnp.array([1.0, 4.0, 9.0])), jnp.array([1.0, 2.0, -3.0])
    with jax.enable_x64(True):
        p = conjugate_gradients(lambda v: h @ v, 1e-9 * g.astype(jnp.float64), jnp.inf, 50)
    np.testing.assert_allclose(p, -1e-9 * np.linalg.solve(h, g), rtol=1e-3)
    assert float(
        jnp.linalg.norm(conjugate_gradients(lambda v: h @ v, g, 0.1, 50))
    ) == pytest.approx(0.1, rel=1e-4)
    bent = jnp.diag(jnp.array([1.0, -1.0, 1.0]))
    p = conjugate_gradients(lambda v: bent @ v, g, 2.0, 50)
    assert float(jnp.linalg.norm(p)) == pytest.approx(2.0, rel=1e-4) and float(g @ p) < 0


def test_order():
    assert order(np.array([1e-1, 1e-2, 1e-4, 1e-8]) ** 2, 0.0) == pytest.approx(2)
    assert order(np.array([1.0, 0.1, 0.01, 0.001]) ** 2, 0.0) == pytest.approx(1)


def test_the_study_measures_what_it_names():
    metrics = study(Config(dims=(2,)), jax.random.key(0)).metrics
    assert metrics["largest_gap"] < 1e-9 and metrics["newton_order"] > 1.5
    assert float(beale(jnp.array([3.0, 0.5]))) == 0 == float(rosenbrock(jnp.ones(5)))
    assert metrics["rosenbrock_2_bfgs_scipy_steps"] > 20


def test_bad_input_is_refused():
    with pytest.raises(UserError, match="none below 2"):
        Config(dims=(1,))
