import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.data import datasets
from panorax.testing.tolerances import DOUBLE, NUMBER
from panorax.theory.saddle_points import saddles

E = float(np.e)
F, NU = saddles.octopus(2.0, 0.5, E)
GRADIENT = jax.jit(jax.grad(F))
HESSIAN = jax.jit(jax.hessian(F))


def test_double_well_has_its_saddle_and_minima():
    f = saddles.double_well(0.3)
    np.testing.assert_allclose(
        np.linalg.eigvalsh(jax.hessian(f)(jnp.zeros(4))), [-0.3, 1, 1, 1], **NUMBER
    )
    bottom = jnp.zeros(4).at[3].set(0.3**0.5)
    assert float(jnp.abs(jax.grad(f)(bottom)).max()) < 1e-6
    assert float(f(bottom)) == pytest.approx(-(0.3**2) / 4)


def test_octopus_is_twice_differentiable_along_the_tube():
    with jax.enable_x64(True):
        # both ends of the turn of the first, then of the second coordinate
        for place in (E, 2 * E):
            for inside in ([], [4 * E - 0.3]):
                at = lambda e, place=place, inside=inside: np.array([*inside, place + e, 0.2, 0.1])
                for function in (F, GRADIENT, HESSIAN):
                    np.testing.assert_allclose(function(at(-1e-9)), function(at(1e-9)), **NUMBER)


def test_octopus_has_its_saddles_and_its_minimum():
    with jax.enable_x64(True):
        for stage in range(4):
            x = np.array([4 * E] * stage + [0.0] * (3 - stage))
            assert float(F(x)) == pytest.approx(-stage * NU) and np.abs(GRADIENT(x)).max() < 1e-9
            values = np.linalg.eigvalsh(HESSIAN(x))
            np.testing.assert_allclose(values, [4, 4, 4] if stage == 3 else [-1, 4, 4], **DOUBLE)
        x = np.array([4 * E, 1.3 * E, 0.3])
        np.testing.assert_allclose(F(x), F(-x))
        # the turn gives the next coordinate the negative curvature
        curvature = [float(HESSIAN(np.array([y, 0.0, 0.0]))[1, 1]) for y in (E, 2 * E)]
        assert curvature == pytest.approx([4, -1])
        tube = [float(F(np.array([4 * E, y, 0.0]))) for y in np.linspace(0.01, 4 * E, 200)]
        assert (np.diff(tube) < 0).all()


PICTURES, DIGIT = datasets.digits()[0].reshape(-1, 64), datasets.digits()[1]
SINGULAR = np.array([5.0, 3.0, 2.0, 0.5])
Q, P = (np.linalg.qr(np.random.default_rng(i).normal(size=(n, n)))[0] for i, n in ((0, 5), (1, 4)))
M = Q[:, :4] * SINGULAR @ P
SUBSETS = [s for n in range(3) for s in itertools.combinations(range(4), n)]


@pytest.fixture(scope="module")
def derivatives():
    f = saddles.factorisation(M, 2)
    return jax.jit(lambda x: (f(x), jax.grad(f)(x), jax.hessian(f)(x)))


@pytest.mark.parametrize("subset", SUBSETS)
def test_index_of_a_factorisation_is_the_closed_form(subset, derivatives):
    with jax.enable_x64(True):
        value, gradient, hessian = derivatives(saddles.critical_factors(M, 2, subset))
    left = [s for i, s in enumerate(SINGULAR) if i not in subset]
    assert np.abs(gradient).max() < 1e-12
    assert float(value) == pytest.approx(0.5 * np.sum(np.square(left)))
    index = int((np.linalg.eigvalsh(hessian) < -1e-9).sum())
    assert index == saddles.index_of_factors(SINGULAR, 2, subset)
    assert (index == 0) == (subset == (0, 1))


def test_singular_values_of_zero_add_no_negative_curvature():
    assert saddles.index_of_factors(np.array([5.0, 3.0, 0.0]), 2, ()) == 4
    assert saddles.index_of_factors(np.array([5.0, 0.0, 0.0]), 2, (0,)) == 0
    f = saddles.factorisation(np.diag([5.0, 3.0, 0.0]), 2)
    assert (np.linalg.eigvalsh(jax.hessian(f)(jnp.zeros(12))) < -1e-5).sum() == 4


@pytest.mark.parametrize("depth, size", [(2, 64 * 3 + 30), (3, 64 * 3 + 9 + 30)])
def test_zero_weights_are_a_strict_saddle_of_two_matrices_and_flat_of_three(depth, size):
    loss, accuracy, n = saddles.tanh_network(PICTURES, DIGIT, depth, 3)
    assert n == size and float(loss(jnp.zeros(n))) == pytest.approx(np.log(10), rel=1e-6)
    value, hessian = jax.jit(lambda x: (jax.grad(loss)(x), jax.hessian(loss)(x)))(jnp.zeros(n))
    assert float(jnp.abs(value).max()) == 0 and 0.09 < float(accuracy(jnp.zeros(n))) < 0.11
    if depth == 3:
        assert float(jnp.abs(hessian).max()) == 0
    else:
        residual = 0.1 - np.eye(10)[DIGIT]
        pulled = np.linalg.svd(PICTURES.T @ residual / len(DIGIT), compute_uv=False)[0]
        assert float(np.linalg.eigvalsh(hessian)[0]) == pytest.approx(-pulled, rel=1e-4)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: saddles.double_well(0.0), "must be above 0"),
        (lambda: saddles.double_well(float("nan")), "must be above 0"),
        (lambda: saddles.octopus(tau=-1.0), "all constants must be above 0"),
        (lambda: saddles.factorisation(np.ones(3), 1), "a finite matrix"),
        (lambda: saddles.factorisation(np.full((2, 2), np.nan), 1), "a finite matrix"),
        (lambda: saddles.factorisation(np.ones((2, 2)), 0), "rank of at least 1"),
        (lambda: saddles.tanh_network(PICTURES, DIGIT[1:], 2, 3), "as many as labels"),
        (lambda: saddles.tanh_network(PICTURES, DIGIT, 0, 3), "at least 1"),
        (lambda: saddles.critical_factors(M, 1, (0, 1)), "at most 1 different"),
        (lambda: saddles.critical_factors(M, 2, (0, 0)), "different numbers"),
        (lambda: saddles.critical_factors(M, 2, (4,)), "from 0 to 3"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
