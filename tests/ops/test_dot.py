"""`dot` and its gradients equal `einsum`."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.ops.dot import dot
from panorax.testing.tolerances import SAME

CASES = {
    "BTD,DF->BTF": (1, (2, 3, 4), (4, 5)),
    "D,DF->F": (1, (4,), (4, 5)),
    "BTD,DHK->BTHK": (1, (2, 3, 4), (4, 2, 5)),
    "BTHK,HKD->BTD": (2, (2, 3, 2, 4), (2, 4, 5)),
}


@pytest.mark.parametrize("letters", CASES)
def test_dot_and_its_gradients_equal_einsum(letters):
    inputs, *shapes = CASES[letters]
    x, w = (
        jnp.asarray(np.random.default_rng(i).normal(size=shape), jnp.float32)
        for i, shape in enumerate(shapes)
    )
    ours, back = jax.vjp(lambda x, w: dot(x, w, inputs), x, w)
    theirs, expected = jax.vjp(lambda x, w: jnp.einsum(letters, x, w), x, w)
    np.testing.assert_allclose(ours, theirs, **SAME)
    chex.assert_trees_all_close(back(jnp.cos(ours)), expected(jnp.cos(ours)), **SAME)


def test_a_batch_may_be_empty():
    chex.assert_shape(dot(jnp.zeros((0, 3, 4)), jnp.ones((4, 5))), (0, 3, 5))


def test_the_result_has_the_dtype_of_the_input_or_the_requested_one():
    x, w = jnp.ones((2, 4), jnp.bfloat16), jnp.ones((4, 5), jnp.bfloat16)
    chex.assert_type(dot(x, w), jnp.bfloat16)
    chex.assert_type(dot(x, w, dtype=jnp.float32), jnp.float32)
