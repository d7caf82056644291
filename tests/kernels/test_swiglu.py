"""Gates: values and gradients of jax.nn's activations, extreme gates too."""

import functools

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pallas_kernels.swiglu import gated, geglu, reference, swiglu
from pallas_kernels.swiglu.reference import ACTIVATIONS
from panorax.testing.tolerances import HALF, LAYER

SHAPE = (4, 21)
UP, DY = np.random.default_rng(0).normal(size=(2, *SHAPE)).astype(np.float32)
CASES = [(name, a) for name in ("triton_interpreted", "tpu_interpreted") for a in ACTIVATIONS]
EXTREME = st.sampled_from([-6e4, -1e4, -100, -6, -1e-4, 0, 1e-4, 6, 100, 1e4])
GATES = arrays(np.float32, SHAPE, elements=st.floats(-10, 10, width=32) | EXTREME)


@functools.cache
def value_and_gradients(name: str | None, activation: str):
    run = functools.partial(gated, activation=activation, implementation=name)

    def both(gate, up, dy):
        y, pull = jax.vjp(run, gate, up)
        return y, *pull(dy)

    return jax.jit(both)


@pytest.mark.parametrize("name, activation", CASES)
@given(gate=GATES)
def test_values_and_gradients_are_those_of_jax(name, activation, gate):
    found = value_and_gradients(name, activation)(gate, UP, DY)
    for x, y in zip(found, value_and_gradients("reference", activation)(gate, UP, DY), strict=True):
        np.testing.assert_allclose(x, y, **LAYER)


@pytest.mark.parametrize("name, activation", CASES)
def test_float16_gates_of_1e4_do_not_overflow_inside(name, activation):
    """The cube in gelu's tanh is 1e12, above the largest float16, 65,504."""
    half = lambda x: x.astype(np.float16)
    gate = half(1e4 * np.sign(DY))
    y, dgate, dup = value_and_gradients(name, activation)(gate, half(UP), half(DY))
    exact = reference(np.float32(gate), np.float32(half(UP)), activation)
    np.testing.assert_allclose(np.float32(y) / 1e4, exact / 1e4, **HALF)
    assert np.all(np.isfinite(dgate)) and np.all(np.isfinite(dup))


def test_the_named_gates_are_their_activations():
    for run, activation in (
        (swiglu, "silu"),
        (geglu, "gelu_tanh"),
        (functools.partial(geglu, approximate=False), "gelu"),
    ):
        np.testing.assert_array_equal(run(DY, UP), reference(DY, UP, activation))


def test_other_arguments_are_refused():
    with pytest.raises(ValueError, match=r"float32\(4, 21\) and up float32\(4,\); accepted"):
        swiglu(UP, UP[:, 0])
    with pytest.raises(ValueError, match="'relu'; accepted: silu, gelu_tanh, gelu"):
        gated(UP, UP, "relu")
