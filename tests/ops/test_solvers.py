import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from panorax.ops.solvers import dopri5, euler, heun
from panorax.testing.tolerances import MODEL

ORDER = {"atol": 0.2}
"""error of an order of convergence measured at three step sizes"""
STEPS = {"rtol": 0.02}
"""error of 64 steps of Euler's method"""

X0 = jnp.array([2.0, 0.0])


def van_der_pol(t, x):
    return jnp.stack([x[1], (1 - x[0] ** 2) * x[1] - x[0]])


def truth(t0, t1, x0=(2.0, 0.0)):
    f = lambda t, x: [x[1], (1 - x[0] ** 2) * x[1] - x[0]]
    return solve_ivp(f, (t0, t1), x0, rtol=1e-10, atol=1e-12).y[:, -1]


@pytest.mark.parametrize("solver, order", [(euler, 1), (heun, 2)])
def test_the_order_of_convergence(solver, order):
    solve = jax.jit(functools.partial(solver, van_der_pol))
    solutions = [solve(X0, jnp.linspace(0, 1, n + 1)) for n in (20, 40, 80)]
    errors = [np.linalg.norm(x - truth(0, 1)) for x in solutions]
    measured = np.log2(np.array(errors[:-1]) / errors[1:])
    np.testing.assert_allclose(measured, order, **ORDER)


@pytest.mark.parametrize("t0, t1", [(0.0, 3.0), (3.0, 0.0), (0.0, 0.01)])
def test_dormand_prince_meets_its_tolerance_in_both_directions(t0, t1):
    inside = jnp.array([0.5, 0.0])  # inside the limit cycle, which repels backwards in time
    solution = jax.jit(lambda x: dopri5(van_der_pol, x, t0, t1, rtol=1e-5, atol=1e-6))(inside)
    np.testing.assert_allclose(solution.x, truth(t0, t1, (0.5, 0.0)), **MODEL)
    assert bool(solution.reached) and int(solution.evaluations) < 1000


def test_dormand_prince_has_order_5():
    solve = jax.jit(lambda x, tol: dopri5(van_der_pol, x, 0.0, 10.0, rtol=tol, atol=tol).accepted)
    loose, tight = (int(solve(X0, tol)) for tol in (1e-2, 1e-4))  # steps grow as tol^(-1/5)
    assert 100**0.2 * 0.6 < tight / loose < 100**0.2 * 1.5


def test_dormand_prince_stops_at_max_steps_and_at_a_singularity():
    assert not bool(dopri5(van_der_pol, X0, 0.0, 10.0, max_steps=3).reached)
    solve = jax.jit(lambda x: dopri5(lambda t, x: x**2, x, 0.0, 2.0, max_steps=200))
    assert not bool(solve(jnp.array(1.0)).reached)  # x = 1 / (1 - t)


@jax.jit
def grown(tree, rate, span):
    return dopri5(lambda t, x: jax.tree.map(lambda v: rate * v, x), tree, 0.0, span).x


@given(st.floats(-2, 2), st.floats(0.1, 2))
def test_a_tree_of_linear_equations(rate, span):
    tree = {"a": jnp.ones(2), "b": jnp.full((1, 3), 2.0)}
    expected = jax.tree.map(lambda v: np.float32(np.exp(rate * span)) * v, tree)
    chex.assert_trees_all_close(grown(tree, rate, span), expected, **MODEL)


def test_grid_solvers_are_differentiable():
    ts = jnp.linspace(0.0, 1.0, 65)
    for solver in (euler, heun):
        slope = jax.grad(lambda rate: solver(lambda t, x: rate * x, jnp.array(1.0), ts))(0.5)
        np.testing.assert_allclose(slope, np.exp(0.5), **STEPS)


def test_vmapped_rows_have_their_own_steps():
    solve = jax.jit(jax.vmap(lambda x: dopri5(van_der_pol, x, 0.0, 2.0).x))
    x = solve(jnp.array([[2.0, 0.0], [0.1, 0.0]]))
    np.testing.assert_allclose(x, [truth(0, 2), truth(0, 2, (0.1, 0.0))], **MODEL)
