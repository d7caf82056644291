"""Rotary embeddings: rotations keep norms, compose, and depend on differences of positions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pallas_kernels.rope import reference, rope
from panorax.testing.tolerances import LAYER

B, T, H, K = 1, 5, 3, 24
Q, R = np.random.default_rng(0).normal(size=(2, B, T, H, K)).astype(np.float32)
FREQUENCIES = np.float32(10_000.0 ** (-np.arange(K // 2) / (K // 2)))
RUN = {
    name: jax.jit(functools.partial(rope, implementation=name))
    for name in ("triton_interpreted", "tpu_interpreted")
}
TURNED = 5e-4
"""sums of products of a head after turns by up to 400 positions, whose angles err by 3e-5"""
NAMES = pytest.mark.parametrize("name", RUN)
POSITIONS = st.lists(st.integers(0, 200), min_size=T, max_size=T).map(lambda p: np.array([p]))
exact = jax.jit(reference)


@NAMES
@given(i=POSITIONS, j=POSITIONS, shift=st.integers(0, 200))
def test_products_depend_on_differences_of_positions(name, i, j, shift):
    rotate = RUN[name]
    product = lambda i, j: np.sum(rotate(Q, i, FREQUENCIES) * rotate(R, j, FREQUENCIES), -1)
    np.testing.assert_allclose(product(i + shift, j + shift), product(i, j), atol=TURNED)


@NAMES
@given(position=st.lists(st.integers(0, 131_071), min_size=T, max_size=T))
def test_pairs_keep_their_norm_and_far_positions_their_angle(name, position):
    position = np.array([position])
    y = np.asarray(RUN[name](Q, position, FREQUENCIES))
    norms = lambda x: np.hypot(x[..., : K // 2], x[..., K // 2 :])
    np.testing.assert_allclose(norms(y), norms(Q), **LAYER)
    np.testing.assert_allclose(y, exact(Q, position, FREQUENCIES), **LAYER)
    np.testing.assert_allclose(RUN[name](y, -position, FREQUENCIES), Q, **LAYER)


@NAMES
def test_it_can_be_differentiated_twice_but_not_in_frequencies(name):
    position = np.arange(T)[None]
    loss = lambda x, run: jnp.sum(jnp.sin(run(x, position, FREQUENCIES)))
    gradient = lambda run: lambda x: jnp.sum(jnp.sin(jax.grad(loss)(x, run)))
    twice = lambda run: jax.jit(jax.grad(gradient(run)))(Q)
    np.testing.assert_allclose(twice(RUN[name]), twice(reference), **LAYER)
    in_frequencies = jax.grad(lambda f: jnp.sum(RUN[name](Q, position, f)))
    with pytest.raises(NotImplementedError, match="implementation='reference' has it"):
        in_frequencies(FREQUENCIES)


def test_other_shapes_are_refused():
    position = np.arange(T)[None]
    with pytest.raises(ValueError, match=r"positions have the shape \(5,\); accepted: \(1, 5\)"):
        rope(Q, position[0], FREQUENCIES)
    with pytest.raises(ValueError, match=r"\(3,\) for heads of 24 elements; accepted: half"):
        rope(Q, position, FREQUENCIES[:3])
