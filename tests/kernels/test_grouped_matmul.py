"""Grouped matrix product: the layout of ragged rows, memory, and what one expert sees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pallas_kernels.grouped_matmul import IMPLEMENTATIONS, grouped_matmul
from pallas_kernels.grouped_matmul.layout import layout, padded, unpadded
from panorax.testing.tolerances import LAYER, MODEL

KERNELS = ("xla", "triton_interpreted", "tpu_interpreted")
draw = np.random.default_rng(0)
N, D, F, E = 30, 12, 10, 3
x = draw.normal(size=(N, D)).astype(np.float32)
w = draw.normal(size=(E, D, F)).astype(np.float32)
dy = draw.normal(size=(N, F)).astype(np.float32)


@jax.jit
def copied(x, group_sizes):
    """The rows after a copy into tiles of 4 rows and back, and the layout."""
    of = layout(group_sizes, len(x), 4)
    return unpadded(padded(x, of, 4), of, len(x), 4), of


@given(st.lists(st.integers(0, 12), min_size=E, max_size=E))
@settings(deadline=None, derandomize=True, max_examples=30)
def test_tiles_have_every_row_of_every_group_once(sizes):
    """Sizes whose sum exceeds N as well: rows past N are no rows."""
    y, of = jax.tree.map(np.asarray, copied(x, np.asarray(sizes, np.int32)))
    total = min(sum(sizes), N)
    np.testing.assert_array_equal(y[:total], x[:total])
    np.testing.assert_array_equal(y[total:], 0)
    assert len(of.group) == N // 4 + E and of.tiles[-1] <= len(of.group)
    assert set(of.group) == set(range(E))
    rows = [
        (group, row)
        for group, first, stop in zip(of.group, of.first, of.stop)
        for row in range(first, min(first + 4, stop))
    ]
    owner = np.repeat(np.arange(E), sizes)[:total]
    assert rows == list(zip(owner, range(total)))


def pulled(x, w, sizes, implementation):
    call = lambda x, w: grouped_matmul(x, w, sizes, implementation=implementation)
    y, pull = jax.vjp(call, x, w)
    return y, *pull(dy)


@pytest.mark.parametrize("implementation", KERNELS)
def test_sizes_are_data_and_experts_do_not_mix(implementation):
    """One program for all sizes; NaN in the rows of expert 0, or past the last group, stays there.

    A product of a masked row is not 0 if the row has NaN: both factors are masked.
    """
    call = jax.jit(pulled, static_argnums=3)
    for sizes in ([5, 8, 17], [0, 30, 0], [7, 0, 11], [0, 0, 0]):
        sizes = np.asarray(sizes, np.int32)
        total, first = sizes.sum(), sizes[0]
        poisoned = x.copy()
        poisoned[:first] = poisoned[total:] = np.nan
        y, dx, dw = jax.tree.map(np.asarray, call(poisoned, w, sizes, implementation))
        exact, exact_dx, exact_dw = jax.tree.map(np.asarray, pulled(x, w, sizes, "reference"))
        np.testing.assert_array_equal(y[total:], 0)
        assert np.isnan(y[:first]).all()
        np.testing.assert_allclose(y[first:total], exact[first:total], **LAYER)
        np.testing.assert_allclose(dx, exact_dx, **LAYER)
        np.testing.assert_allclose(dw[1:], exact_dw[1:], **MODEL)
        assert np.isnan(dw[0]).all() if first else (dw[0] == 0).all()
    assert call._cache_size() == 1 or implementation != KERNELS[0]


def test_memory_of_the_blockwise_version_is_linear():
    """Temporaries are a few copies of the rows in tiles, not E copies of the rows."""
    rows, experts = 4096, 16
    arguments = (
        jax.ShapeDtypeStruct((rows, 64), jnp.float32),
        jax.ShapeDtypeStruct((experts, 64, 64), jnp.float32),
        jax.ShapeDtypeStruct((experts,), jnp.int32),
    )
    call = lambda x, w, sizes: jnp.sum(grouped_matmul(x, w, sizes, implementation="xla") ** 2)
    compiled = jax.jit(jax.grad(call, (0, 1))).lower(*arguments).compile()
    tiles = rows + 64 * experts
    assert compiled.memory_analysis().temp_size_in_bytes < 6 * tiles * 64 * 4


REFUSED = {
    r"x is \[N, D\]": (x, w[:, :5], np.zeros(3, np.int32)),
    "group_sizes are 3 integers": (x, w, np.zeros(4, np.int32)),
    r"not float32\[3\]": (x, w, np.zeros(3, np.float32)),
    "one floating dtype": (x, w.astype(np.float16), np.zeros(3, np.int32)),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_it_refuses(message):
    with pytest.raises(ValueError, match=message):
        grouped_matmul(*REFUSED[message])


def test_the_default_on_a_cpu_is_blockwise():
    sizes = np.asarray([5, 8, 17], np.int32)
    np.testing.assert_array_equal(grouped_matmul(x, w, sizes), IMPLEMENTATIONS["xla"](x, w, sizes))
