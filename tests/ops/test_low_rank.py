"""A low-rank weight acts as its merged matrix, and initially as the frozen matrix."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core import spec as core_spec
from panorax.core.spec import P
from panorax.ops.dot import dot
from panorax.ops.low_rank import LowRank, low_rank_factors, merged, merged_tree
from panorax.testing.tolerances import COARSE, NUMBER

SUMS = {"rtol": 1e-5, "atol": 5e-5}
"""rounding of sums whose terms cancel"""
NOISE = {"rtol": 0.05}
"""sampling error of the variance of 40,000 draws"""

NORMAL = jax.nn.initializers.normal(1.0)
CASES = {
    "D,DF->F": (P((4, 5), ("embed", "mlp"), NORMAL), (4,)),
    "BTD,DHK->BTHK": (P((4, 2, 5), ("embed", "heads", "head_dim"), NORMAL, outputs=2), (2, 3, 4)),
    "BTHK,HKD->BTD": (P((2, 4, 5), ("heads", "head_dim", "embed"), NORMAL), (2, 3, 2, 4)),
}
MATRIX = CASES["D,DF->F"][0]


def normal(*shape):
    return jnp.asarray(np.random.default_rng(len(shape)).normal(size=shape), jnp.float32)


def drawn(p, scale=1.5, layers=None):
    """A LowRank weight of rank 3 declared by `p`, with random w, a and b."""
    p = p if layers is None else core_spec.stack(p, layers)
    a, b = (normal(*factor.shape) for factor in low_rank_factors(p, 3).values())
    return LowRank(normal(*p.shape), a, b, scale)


@pytest.mark.parametrize("letters", CASES)
def test_the_product_and_its_gradients_equal_the_merged_matrix(letters):
    p, shape = CASES[letters]
    inputs = len(p.shape) - p.outputs

    def product(weight, x):
        y = dot(x, weight, inputs)
        return jnp.sum(jnp.cos(y)), y

    def einsum(weight, x):
        update = weight.a.reshape(-1, 3) @ weight.b.reshape(3, -1)
        y = jnp.einsum(letters, x, weight.w + weight.scale * update.reshape(weight.w.shape))
        return jnp.sum(jnp.cos(y)), y

    @jax.jit
    def both(weight, x):
        return [jax.grad(f, argnums=(0, 1), has_aux=True)(weight, x) for f in (product, einsum)]

    ours, theirs = both(drawn(p), normal(*shape))
    chex.assert_trees_all_close(ours, theirs, **SUMS)


@pytest.mark.parametrize("letters", CASES)
def test_the_initial_product_equals_the_frozen_matrix_exactly(letters):
    p, shape = CASES[letters]
    inputs = len(p.shape) - p.outputs
    factors = low_rank_factors(p, 2).values()
    a, b = (f.init(jax.random.key(0), f.shape, jnp.float32) for f in factors)
    weight, x = LowRank(normal(*p.shape), a, b, 7.0), normal(*shape)
    assert np.abs(a).min() > 0
    np.testing.assert_array_equal(dot(x, weight, inputs), dot(x, weight.w, inputs))


def test_stacked_layers_are_scanned_rematerialised_and_merged():
    p = P((2, 3, 6), ("heads", "head_dim", "embed"), NORMAL)
    weight = drawn(p, layers=4)

    @jax.jit
    @jax.grad
    def through(weight):
        def step(x, layer):
            return 0.1 * dot(jnp.cos(x).reshape(-1, 2, 3), layer, 2), None

        return jnp.sum(jax.lax.scan(jax.checkpoint(step), normal(5, 6), weight)[0])

    whole = merged(weight)
    np.testing.assert_allclose(through(weight).w, through(whole), **NUMBER)
    expected = weight.w + 1.5 * np.einsum("lhkr,lrd->lhkd", weight.a, weight.b)
    np.testing.assert_allclose(whole, expected, **NUMBER)


def test_vmap_maps_over_stacked_factors():
    weight, x = drawn(MATRIX, layers=3), normal(2, 4)
    mapped = jax.vmap(dot, in_axes=(None, 0))(x, weight)
    for i in range(3):
        single = dot(x, jax.tree.map(lambda leaf: leaf[i], weight))
        np.testing.assert_allclose(mapped[i], single, **NUMBER)


def test_products_keep_half_precision_and_merging_keeps_the_dtype_of_w():
    weight, x = drawn(MATRIX), jnp.ones((2, 4), jnp.bfloat16)
    assert dot(x, weight).dtype == jnp.bfloat16
    assert dot(x, weight, dtype=jnp.float32).dtype == jnp.float32
    half = LowRank(weight.w.astype(jnp.bfloat16), weight.a, weight.b, weight.scale)
    assert merged(half).dtype == jnp.bfloat16
    exact = merged(weight)
    np.testing.assert_allclose(merged(half).astype(np.float32), exact, **COARSE)


def test_factors_have_the_axes_of_the_matrix():
    p = P((3, 4, 2, 8), ("layers", "embed", "heads", "head_dim"), NORMAL, outputs=2)
    factors = low_rank_factors(p, 5)
    assert factors["a"].shape == (3, 4, 5) and factors["a"].axes == ("layers", "embed", "rank")
    assert factors["b"].shape == (3, 5, 2, 8) and factors["b"].outputs == 2
    assert factors["b"].axes == ("layers", "rank", "heads", "head_dim")
    a = factors["a"].init(jax.random.key(0), (2, 4, 5000), jnp.float32)
    np.testing.assert_allclose(np.var(a), 1 / 4, **NOISE)


def test_merged_tree_merges_each_leaf():
    weight = drawn(MATRIX)
    tree = merged_tree({"q": weight, "norm": weight.w})
    np.testing.assert_array_equal(tree["norm"], weight.w)
    np.testing.assert_array_equal(tree["q"], merged(weight))
