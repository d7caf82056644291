"""Quantised matrices: error, exact codes and bits; products with the extremes of every format."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pallas_kernels.quant_matmul import (
    bits_per_weight,
    dequantise,
    quant_matmul,
    quantise_int4,
    quantise_int8,
    quantise_nf4,
    quantise_ternary,
)
from pallas_kernels.quant_matmul.formats import NORMAL_FLOAT, dynamic_map
from panorax.testing.tolerances import LAYER, NUMBER

KERNELS = ("triton_interpreted", "tpu_interpreted")
FORMATS = {
    "int8": quantise_int8,
    "int4": lambda w: quantise_int4(w, group=32),
    "NF4": quantise_nf4,
    "ternary": quantise_ternary,
}
D, F = 130, 12
draw = np.random.default_rng(0)


@jax.jit
def quantised(w):
    """Each format of w, and the matrix that it stands for."""
    every = {name: quantise(w) for name, quantise in FORMATS.items()}
    return every, {name: dequantise(q) for name, q in every.items()}


def half_step(name, q, w):
    """Largest |w - q| that rounding to the nearest code allows, for each weight."""
    if name == "NF4":  # widest gap of the table, and the error of the scale
        scale = np.repeat(
            np.max(np.abs(np.pad(w, ((0, -D % 64), (0, 0))).reshape(-1, 64, F)), 1), 64, 0
        )
        gap = np.max(np.diff(NORMAL_FLOAT)) / 2
        return (gap * scale + np.abs(scale - np.repeat(q.scales, 64, 0)))[:D]
    scales = np.asarray(q.scales)
    step = np.repeat(scales, -(-D // len(scales)) if len(scales) == 1 else 32, 0)[:D]
    return np.maximum(step / 2, np.abs(w) - step) if name == "ternary" else step / 2


@given(st.integers(0, 1000), st.sampled_from([1e-4, 1.0, 300.0]))
@settings(deadline=None, derandomize=True, max_examples=15)
def test_the_error_is_at_most_half_a_step(seed, size):
    w = (np.random.default_rng(seed).standard_t(3, size=(D, F)) * size).astype(np.float32)
    w[:, 0] = w[3, :] = 0
    every, matrices = quantised(w)
    for name, q in every.items():
        error = np.abs(np.asarray(matrices[name]) - w)
        assert (error <= half_step(name, q, w) * (1 + 1e-5) + 1e-30).all(), name
        assert (np.asarray(matrices[name])[w == 0] == 0).all(), name


def test_zeros_have_finite_codes():
    """A group of zeros has no scale to divide by."""
    _, matrices = quantised(np.zeros((D, F), np.float32))
    for matrix in matrices.values():
        np.testing.assert_array_equal(matrix, np.zeros((D, F)))


def test_a_matrix_of_codes_is_kept():
    """Integers and numbers of the table times a scale come back as they are."""
    scale = np.float32(0.25)
    for name, numbers in (("int8", np.arange(-127, 128)), ("int4", np.arange(-7, 8))):
        w = np.resize(numbers, (2 * 256, 3)).astype(np.float32) * scale
        w[::32] = numbers[-1] * scale
        np.testing.assert_array_equal(dequantise(FORMATS[name](w)), w)
    w = np.resize(np.asarray([-1, 0, 1], np.float32), (9, 4))
    np.testing.assert_array_equal(np.sign(dequantise(quantise_ternary(w))), w)
    w = np.resize(np.asarray(NORMAL_FLOAT, np.float32), (8, 64)).T
    q = quantise_nf4(w)  # one scale for all, so that its mean leaves nothing to round
    np.testing.assert_array_equal(dequantise(q), w)
    even, odd = np.resize(np.arange(16), (8, 64)).T.reshape(32, 2, 8).swapaxes(0, 1)
    np.testing.assert_array_equal(np.asarray(q.codes) >> 4, even)  # the first of a byte is high
    np.testing.assert_array_equal(np.asarray(q.codes) & 15, odd)


def test_nested_scales_of_nf4():
    """256 scales in the order of w^T share a scale, as in bitsandbytes: here 128 columns.

    The map's widest gap is 0.9 / 64, and its smallest number is -1 + 0.45 / 64.
    """
    w = draw.normal(size=(128, 300)) * 10.0 ** (np.arange(300) // 128)
    q = quantise_nf4(w.astype(np.float32))
    exact = np.abs(w.reshape(2, 64, 300)).max(1).T.reshape(-1)
    error = np.abs(np.asarray(q.scales).T.reshape(-1) - exact)
    for start in range(0, 600, 256):
        block = slice(start, start + 256)
        largest = np.abs(exact[block] - exact.mean()).max()
        assert error[block].max() <= largest * (0.45 / 64 + 1e-5)
    assert q.nested.shape == (3,)


def test_tables():
    """Published numbers: 16 of QLoRA, appendix E; the map of 8-bit Optimizers has 256."""
    assert len(NORMAL_FLOAT) == 16 and sorted(NORMAL_FLOAT) == list(NORMAL_FLOAT)
    assert NORMAL_FLOAT[7] == 0 and NORMAL_FLOAT[0] == -1 and NORMAL_FLOAT[15] == 1
    numbers = dynamic_map()
    assert len(set(numbers.tolist())) == 256 and numbers[127] == 0
    np.testing.assert_allclose(
        numbers[[0, 126, 128, 254, 255]], [-0.99296875, -5.5e-7, 5.5e-7, 0.99296875, 1], **NUMBER
    )


def test_bits_of_a_weight():
    w = jax.ShapeDtypeStruct((4096, 1024), jnp.float32)
    bits = {name: bits_per_weight(jax.eval_shape(f, w)) for name, f in FORMATS.items()}
    assert bits["NF4"] == pytest.approx(4 + 8 / 64 + 32 / (64 * 256), abs=1e-4)  # 4.127
    assert bits["int8"] == 8 + 32 / 4096
    assert bits["int4"] == 4 + 32 / 32
    assert bits["ternary"] == pytest.approx(2, abs=1e-4)


def test_a_scale_is_of_its_own_group():
    """An outlier spoils its own 32 rows of its own column, and in int8 its column."""
    w = draw.normal(size=(D, F)).astype(np.float32)
    w[40, 2] = 1000
    _, matrices = quantised(w)
    small = np.abs(np.asarray(matrices["int4"]) - w) < 0.5
    assert small[:32].all() and small[64:].all() and np.delete(small, 2, 1).all()
    assert (np.asarray(matrices["int4"])[41:64, 2] == 0).all()


@jax.jit
def pulled_by_each(x, q, dy):
    """Product and dx of each kernel, and of the definition."""

    def pulled(implementation):
        y, pull = jax.vjp(lambda x: quant_matmul(x, q, implementation=implementation), x)
        return y, *pull(dy)

    return {name: pulled(name) for name in (*KERNELS, "reference")}


@pytest.mark.parametrize("name", ("int8", "int4"))
def test_every_code_in_every_place_of_a_byte(name):
    """Bytes 0 to 255 in each column: also -128 and -8, which no matrix is rounded to."""
    q = FORMATS[name](draw.normal(size=(512, 5)).astype(np.float32))
    codes = np.resize(np.arange(256, dtype=np.uint8), q.codes.shape)
    q = dataclasses.replace(q, codes=jnp.asarray(codes).view(q.codes.dtype))
    x = draw.normal(size=(2, 512)).astype(np.float32)
    measured = pulled_by_each(x, q, draw.normal(size=(2, 5)).astype(np.float32))
    exact = measured.pop("reference")
    scale = max(float(np.abs(exact[0]).max()), 1)
    for got in measured.values():
        np.testing.assert_allclose(got[0] / scale, exact[0] / scale, **LAYER)
        np.testing.assert_allclose(got[1] / scale, exact[1] / scale, **LAYER)


def test_the_matrix_is_frozen():
    q = quantise_int8(draw.normal(size=(8, 4)).astype(np.float32))
    x = np.ones((2, 8), np.float32)
    for implementation in ("reference", "tpu_interpreted"):
        call = lambda scale: jnp.sum(
            quant_matmul(x, dataclasses.replace(q, scale=scale), implementation=implementation)
        )
        np.testing.assert_array_equal(jax.grad(call)(q.scale), np.zeros((1, 4)))


def test_what_it_refuses():
    q = quantise_int8(np.ones((8, 4), np.float32))
    x = np.ones((2, 8), np.float32)
    for message, call in {
        "not ndarray": lambda: quant_matmul(x, x),
        "as w has 8 rows": lambda: quant_matmul(x[:, :5], q),
        "not int32": lambda: quant_matmul(x.astype(np.int32), q),
        "power of two": lambda: quantise_int4(x, group=48),
        r"not int32\[8, 4\]": lambda: quantise_nf4(np.ones((8, 4), np.int32)),
        r"not float32\[8\]": lambda: quantise_ternary(np.ones(8, np.float32)),
    }.items():
        with pytest.raises(ValueError, match=message):
            call()
