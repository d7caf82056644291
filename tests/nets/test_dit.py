import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panorax.core import spec
from panorax.nets import dit

CFG = dit.Config(patch=2, d_model=16, n_layers=2, n_heads=2, d_ff=16)
SHAPE = (4, 6, 3)
PARAMS = spec.init(dit.spec(CFG, SHAPE, 5), jax.random.key(0))
MOVED = jax.tree.map(lambda x: x + 0.1 * jax.random.normal(jax.random.key(1), x.shape), PARAMS)
X = jnp.asarray(np.random.default_rng(0).normal(size=(3, *SHAPE)), jnp.float32)
T, LABEL = jnp.array([0.0, 0.5, 1.0]), jnp.array([0, 4, 2])
apply = jax.jit(dit.apply, static_argnames="cfg")


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 4))
def test_patches_are_put_back_where_they_were(rows, columns, patch, channels):
    x = (
        np.random.default_rng(0)
        .normal(size=(2, rows * patch, columns * patch, channels))
        .astype(np.float32)
    )
    tokens, grid = dit.patchify(jnp.asarray(x), patch)
    assert grid == (rows, columns) and tokens.shape == (2, rows * columns, patch**2 * channels)
    np.testing.assert_array_equal(dit.unpatchify(tokens, grid, patch), x)


def test_it_starts_as_the_constant_zero():
    np.testing.assert_array_equal(apply(PARAMS, X, T, LABEL, cfg=CFG), np.zeros_like(X))


@given(st.permutations(range(3)))
def test_rows_of_a_batch_do_not_see_each_other(order):
    order = np.array(order)
    np.testing.assert_allclose(
        apply(MOVED, X[order], T[order], LABEL[order], cfg=CFG),
        apply(MOVED, X, T, LABEL, cfg=CFG)[order],
        atol=1e-5,
    )


def test_time_class_and_every_pixel_matter():
    y = apply(MOVED, X, T, LABEL, cfg=CFG)
    assert not np.allclose(y, apply(MOVED, X, T[::-1], LABEL, cfg=CFG), atol=1e-4)
    assert not np.allclose(y, apply(MOVED, X, T, LABEL[::-1], cfg=CFG), atol=1e-4)
    gradient = jax.grad(lambda x: jnp.sum(jnp.square(dit.apply(MOVED, x, T, LABEL, CFG))))(X)
    assert np.all(np.asarray(gradient) != 0)


def test_a_patch_must_tile_the_image():
    with pytest.raises(ValueError, match="patches of 4 do not tile an image of 4 x 6"):
        dit.patchify(X, 4)
    with pytest.raises(ValueError, match="must be a multiple of 4"):
        dit.Config(d_model=18)
