"""The product with a weight is the sum over the axes that it names, and so are its gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.ops.dot import dot

CASES = {
    "BTD,DF->BTF": (1, (2, 3, 4), (4, 5)),
    "D,DF->F": (1, (4,), (4, 5)),
    "BTD,DHK->BTHK": (1, (2, 3, 4), (4, 2, 5)),
    "BTHK,HKD->BTD": (2, (2, 3, 2, 4), (2, 4, 5)),
}


@pytest.mark.parametrize("letters", CASES)
def test_it_is_the_sum_and_so_are_its_gradients(letters):
    inputs, *shapes = CASES[letters]
    x, w = (
        jnp.asarray(np.random.default_rng(i).normal(size=shape), jnp.float32)
        for i, shape in enumerate(shapes)
    )
    ours, back = jax.vjp(lambda x, w: dot(x, w, inputs), x, w)
    theirs, expected = jax.vjp(lambda x, w: jnp.einsum(letters, x, w), x, w)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    for a, b in zip(back(jnp.cos(ours)), expected(jnp.cos(ours)), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)


def test_no_rows_and_half_precision():
    assert dot(jnp.zeros((0, 3, 4)), jnp.ones((4, 5))).shape == (0, 3, 5)
    half = dot(jnp.ones((2, 4), jnp.bfloat16), jnp.ones((4, 5), jnp.bfloat16), dtype=jnp.float32)
    assert (
        half.dtype == jnp.float32
        and dot(jnp.ones((2, 4), jnp.bfloat16), jnp.ones((4, 5), jnp.bfloat16)).dtype
        == jnp.bfloat16
    )
