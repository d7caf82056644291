"""A low-rank weight is the matrix that it merges to, and starts as the frozen matrix."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core import spec as core_spec
from panorax.core.spec import P
from panorax.ops.dot import dot
from panorax.ops.low_rank import LowRank, low_rank_factors, merged, merged_tree

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
    """A LowRank weight of rank 3 declared by `p`, all of it drawn."""
    p = p if layers is None else core_spec.stack(p, layers)
    factors = low_rank_factors(p, 3)
    return LowRank(
        normal(*p.shape), normal(*factors["a"].shape), normal(*factors["b"].shape), scale
    )


@pytest.mark.parametrize("letters", CASES)
def test_it_is_the_product_with_the_merged_matrix_and_so_are_its_gradients(letters):
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
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-5), ours, theirs)


@pytest.mark.parametrize("letters", CASES)
def test_it_starts_as_the_frozen_matrix_to_the_bit(letters):
    p, shape = CASES[letters]
    inputs = len(p.shape) - p.outputs
    factors = low_rank_factors(p, 2)
    a, b = (
        factors[side].init(jax.random.key(0), factors[side].shape, jnp.float32) for side in "ab"
    )
    weight, x = LowRank(normal(*p.shape), a, b, 7.0), normal(*shape)
    assert np.abs(a).min() > 0
    np.testing.assert_array_equal(dot(x, weight, inputs), dot(x, weight.w, inputs))


def test_stacked_layers_are_scanned_recomputed_and_merged_layer_by_layer():
    p = P((2, 3, 6), ("heads", "head_dim", "embed"), NORMAL)
    weight = drawn(p, layers=4)

    @jax.jit
    @jax.grad
    def through(weight):
        def step(x, layer):
            return 0.1 * dot(jnp.cos(x).reshape(-1, 2, 3), layer, 2), None

        return jnp.sum(jax.lax.scan(jax.checkpoint(step), normal(5, 6), weight)[0])

    whole = merged(weight)
    np.testing.assert_allclose(through(weight).w, through(whole), rtol=1e-4, atol=1e-4)
    by_hand = weight.w + 1.5 * np.einsum("lhkr,lrd->lhkd", weight.a, weight.b)
    np.testing.assert_allclose(whole, by_hand, atol=5e-6)


def test_vmap_takes_one_pair_of_factors_each():
    weight, x = drawn(MATRIX, layers=3), normal(2, 4)
    together = jax.vmap(dot, in_axes=(None, 0))(x, weight)
    for i in range(3):
        alone = dot(x, jax.tree.map(lambda leaf: leaf[i], weight))
        np.testing.assert_allclose(together[i], alone, rtol=1e-5, atol=1e-5)


def test_half_precision_stays_half_and_merges_in_the_dtype_of_the_frozen_matrix():
    weight, x = drawn(MATRIX), jnp.ones((2, 4), jnp.bfloat16)
    assert dot(x, weight).dtype == jnp.bfloat16
    assert dot(x, weight, dtype=jnp.float32).dtype == jnp.float32
    half = LowRank(weight.w.astype(jnp.bfloat16), weight.a, weight.b, weight.scale)
    assert merged(half).dtype == jnp.bfloat16
    np.testing.assert_allclose(
        merged(half).astype(np.float32), merged(weight), rtol=0.02, atol=0.02
    )


def test_factors_are_declared_with_the_axes_of_the_matrix():
    p = P((3, 4, 2, 8), ("layers", "embed", "heads", "head_dim"), NORMAL, outputs=2)
    factors = low_rank_factors(p, 5)
    assert factors["a"].shape == (3, 4, 5) and factors["a"].axes == ("layers", "embed", "rank")
    assert factors["b"].shape == (3, 5, 2, 8) and factors["b"].outputs == 2
    assert factors["b"].axes == ("layers", "rank", "heads", "head_dim")
    a = factors["a"].init(jax.random.key(0), (2, 4, 5000), jnp.float32)
    np.testing.assert_allclose(np.var(a), 1 / 4, rtol=0.05)


def test_a_tree_is_merged_leaf_by_leaf():
    weight = drawn(MATRIX)
    tree = merged_tree({"q": weight, "norm": weight.w})
    np.testing.assert_array_equal(tree["norm"], weight.w)
    np.testing.assert_array_equal(tree["q"], merged(weight))
