import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panorax.ops import two_hot as ops
from panorax.testing.tolerances import LAYER, MODEL

symlog, symexp, contract, expand = map(jax.jit, (ops.symlog, ops.symexp, ops.contract, ops.expand))
two_hot, projected, expectation = map(jax.jit, (ops.two_hot, ops.projected, ops.expectation))

BINS = np.array([-3.0, -1.0, 0.0, 0.5, 4.0], np.float32)
VALUES = np.array([-1e4, -300.0, -0.25, -1e-3, 0.0, 1e-6, 0.7, 20.0, 3e5], np.float32)


@pytest.mark.parametrize("transform, inverse", [(symlog, symexp), (contract, expand)])
def test_transforms_are_odd_increasing_and_have_an_inverse(transform, inverse):
    compressed = np.asarray(transform(VALUES))
    np.testing.assert_allclose(inverse(compressed), VALUES, **MODEL)
    np.testing.assert_array_equal(transform(-VALUES), -compressed)
    assert (np.diff(compressed) > 0).all()
    assert np.isfinite(jax.vmap(jax.grad(contract))(VALUES)).all()


def test_transforms_equal_their_formulas():
    x = VALUES.astype(np.float64)
    np.testing.assert_allclose(symlog(VALUES), np.sign(x) * np.log(1 + abs(x)), **LAYER)
    h = np.sign(x) * (np.sqrt(abs(x) + 1) - 1) + 1e-3 * x
    np.testing.assert_allclose(contract(VALUES), h, **LAYER)


@given(st.floats(-5, 5, width=32))
def test_two_hot_is_a_distribution_on_two_neighbours_with_mean_x(x):
    p = np.asarray(two_hot(jnp.float32(x), BINS))
    np.testing.assert_allclose(p.sum(), 1, **LAYER)
    np.testing.assert_allclose(p @ BINS, np.clip(x, -3, 4), **LAYER)
    used = np.flatnonzero(p)
    assert (p >= 0).all() and len(used) <= 2 and np.ptp(used) <= 1


def test_projection_keeps_mass_and_mean_inside_the_bins():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(7), size=4).astype(np.float32)
    atoms = rng.uniform(-3, 4, size=(4, 7)).astype(np.float32)
    result = np.asarray(projected(p, atoms, BINS))
    np.testing.assert_allclose(result.sum(-1), 1, **LAYER)
    np.testing.assert_allclose(result @ BINS, (p * atoms).sum(-1), **LAYER)


@pytest.mark.parametrize("K", [4, 5])
def test_equal_logits_over_symmetric_bins_expect_exactly_0(K):
    positive = symexp(jnp.array([20.0, 3.0]))
    bins = jnp.concatenate([-positive, jnp.zeros(K % 2), positive[::-1]])
    assert float(expectation(jnp.full(K, 1.7), bins)) == 0
    logits = np.random.default_rng(0).normal(size=(3, K)).astype(np.float32)
    np.testing.assert_allclose(
        expectation(logits, BINS[:K]), np.asarray(jax.nn.softmax(logits)) @ BINS[:K], **LAYER
    )
