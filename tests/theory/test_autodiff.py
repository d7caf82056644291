import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panorax.core import spec as core_spec
from panorax.core.errors import UserError
from panorax.maths.autodiff.chain_rule import forward, grad, reverse
from panorax.testing.tolerances import LAYER
from panorax.theory.autodiff import Config, depths, gradients, networks

KEY = jax.random.key(0)
A, B = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)


def arithmetic(a, b):
    return a + 2.0 * b - a / (b * b + 1), -a * jnp.abs(b)


def powers(a, b):
    return a**3, (jnp.abs(a) + 0.1) ** b, jnp.sqrt(b * b + 1), jax.lax.rsqrt(a * a + 2)


def functions(a, b):
    squashed = (jnp.tanh(a), jax.nn.sigmoid(b), jax.lax.erf(a), jnp.sin(a) * jnp.cos(b))
    return jnp.exp(a), jnp.expm1(b), jnp.log1p(b * b), jnp.log(a * a + 1), *squashed


def choices(a, b):
    clipped = (jnp.minimum(a, 0.3), jax.nn.relu(b), jnp.clip(a, -0.5, 0.5))
    return jnp.maximum(a, b), jnp.where(a > b, a, b * b), *clipped


def sums(a, b):
    reduced = (a.sum(), b.mean(0), a.max(1), b.min())
    return jnp.cumsum(a, 1), jax.nn.logsumexp(b, 1), jax.nn.softmax(a), *reduced


def shapes(a, b):
    pads = (
        jnp.pad(a, ((1, 0), (0, 2)), constant_values=2.0),
        jax.lax.pad(a, b[0, 0], ((1, 2, 1), (-1, 0, 0))),
    )
    joins = (jnp.concatenate([a, b], 1), jnp.stack([a, b]), *jnp.split(a, 2, 1))
    views = (a.T, b.reshape(2, 6), a[1:, ::2], b[::-1], a[:, None])
    return *pads, *joins, *views, jnp.broadcast_to(b[:1], (5, 4))


def reads(a, b):
    corner = (jnp.int32(1), jnp.int32(0))
    return (
        a[jnp.array([2, 0, 2])],
        jnp.take_along_axis(b, jnp.array([[0], [3], [3]]), 1),
        jax.lax.dynamic_slice(a, corner, (2, 2)),
        jax.lax.dynamic_update_slice(a, b[:1], corner),
    )


def products(a, b):
    equations = ("ij,ik->jk", "ij,ij->i", "ij,kj->ikj")
    return a @ b.T, *(jnp.einsum(equation, a, b) for equation in equations)


def half(a, b):
    return ((a.astype(jnp.bfloat16) * b.astype(jnp.bfloat16)).astype(jnp.float32),)


def calls(a, b):
    recomputed = jax.checkpoint(lambda x: jnp.sin(x) ** 2)(b)
    activations = (jax.nn.gelu(b), jax.nn.silu(a))
    return jax.jit(jnp.tanh)(a), recomputed, jax.lax.stop_gradient(a) * b, *activations


def scans(a, b):
    return (
        jax.lax.scan(lambda h, x: (jnp.tanh(h + x * b[0]), h * x), a[0], b),
        jax.lax.scan(lambda h, x: (h * x, h), a[1], b, reverse=True)[0],
        jax.lax.fori_loop(0, 3, lambda i, h: h * a + i, b),
    )


PROGRAMS = (
    arithmetic,
    powers,
    functions,
    choices,
    sums,
    shapes,
    reads,
    products,
    half,
    calls,
    scans,
)


def assert_close(ours, theirs):
    """Same structure, shapes and dtypes, and equal values."""
    chex.assert_trees_all_equal_shapes_and_dtypes(ours, theirs)
    chex.assert_trees_all_close(ours, theirs, **LAYER)


def both_modes(f, arguments, tangents):
    """Value, product with a cotangent and directional derivative of f: by our rules, and by JAX's.

    Compile it as one program: otherwise JAX compiles each operation alone.
    """
    wave = lambda y: jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape)
    (out, pull), (expected, expected_pull) = reverse(f, *arguments), jax.vjp(f, *arguments)
    cotangents = jax.tree.map(wave, expected)
    ours = out, pull(cotangents), forward(f, arguments, tangents)
    return ours, (expected, expected_pull(cotangents), jax.jvp(f, arguments, tangents))


compiled = jax.jit(both_modes, static_argnums=0)


@pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)
def test_both_modes_agree_with_jax(f):
    # within a program XLA drops conversions to bfloat16 and back
    derivatives = both_modes if f is half else compiled
    assert_close(*derivatives(f, (A, B), (B, A)))


@given(
    st.sampled_from([1, 2]),
    st.sampled_from(["SAME", "VALID", "UNEVEN"]),
    st.sampled_from([1, 2]),
    st.integers(1, 3),
    st.booleans(),
)
def test_convolutions_agree_with_jax(stride, padding, dilation, width, last):
    x = np.random.default_rng(1).normal(size=(2, 7, 6, 2)).astype(np.float32)
    w = np.random.default_rng(2).normal(size=(width, 2, 2, 3)).astype(np.float32)
    if padding == "UNEVEN":  # below the kernel's size: XLA's convolutions of negative padding are
        padding = ((width - 1, 0), (0, 1))  # wrong on a CPU (openxla/xla#48713)
    numbers = ("NHWC", "HWIO", "NHWC") if last else ("CHWN", "HWOI", "NCHW")

    def f(x, w):
        return jax.lax.conv_general_dilated(
            x, w, (stride, 1), padding, rhs_dilation=(1, dilation), dimension_numbers=numbers
        )

    x, w = (x, w) if last else (x.transpose(3, 1, 2, 0), w.swapaxes(2, 3))
    assert_close(*compiled(f, (x, w), (x, w)))


@pytest.mark.parametrize("name", ["perceptron", "convolutional", "attending", "recurrent"])
def test_gradients_of_networks_agree_with_jax(name):
    loss, spec = networks(4)[name]
    params = core_spec.init(spec, KEY)
    assert_close(jax.jit(grad(loss))(params), jax.jit(jax.grad(loss))(params))


def test_a_gradient_can_be_differentiated_again_and_batched():
    f = lambda x: jnp.sum(jnp.tanh(x @ B.T) ** 3)
    twice = lambda grad: jax.vmap(grad(lambda x: jnp.sum(grad(f)(x) ** 2)))(jnp.stack([A, B]))
    assert_close(twice(grad), twice(jax.grad))


def test_constants_have_zero_gradient():
    f = lambda x: 3.0 * jnp.sum(jnp.sign(x["a"]))
    assert_close(grad(f)({"a": A, "b": B}), {"a": 0 * A, "b": 0 * B})
    assert float(grad(lambda x: x)(jnp.float32(2.0))) == 1


def test_an_equation_without_a_rule_raises_with_its_name():
    no_rule = "no rule of differentiation for the primitive 'sort'"
    with pytest.raises(NotImplementedError, match=no_rule):
        grad(lambda x: jnp.sort(x)[0])(A[0])


def test_a_convolution_in_groups_raises():
    image, kernel = np.ones((1, 4, 4, 2), np.float32), np.ones((3, 3, 1, 2), np.float32)
    convolve = functools.partial(
        jax.lax.conv_general_dilated,
        window_strides=(1, 1),
        padding="SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=2,
    )
    with pytest.raises(NotImplementedError, match="in groups"):
        grad(lambda w: jnp.sum(convolve(image, w)))(kernel)


def test_gradients_of_networks_are_exact_and_cost_at_most_five_losses():
    metrics = gradients(KEY, Config(batch=4)).metrics
    assert metrics["largest_gradient_gap"] < 1e-5 and metrics["largest_slope_gap"] < 1e-4
    assert 2 <= metrics["largest_reverse_over_loss"] < 5
    assert metrics["perceptron_forward_over_loss"] <= 3


def test_memory_of_reverse_mode_alone_grows_with_depth():
    metrics = depths(KEY, Config(depths=(1, 16), batch=16)).metrics
    assert metrics["memory_growth_reverse"] > 1.5 * metrics["memory_growth_forward"]


def test_bad_input_is_refused():
    with pytest.raises(UserError, match="depths at least two depths"):
        Config(depths=(3,))
