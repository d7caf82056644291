import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panorax.core import spec as core_spec
from panorax.core.errors import UserError
from panorax.maths.autodiff.chain_rule import forward, grad, reverse
from panorax.theory.autodiff import Config, networks, study

KEY = jax.random.key(0)
A, B = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
POSITIVE = np.abs(A) + 0.5
PROGRAMS = {
    "arithmetic": lambda a, b: (a + 2.0 * b - a / (b * b + 1), -a * jnp.abs(b)),
    "powers": lambda a, b: (a**3, (jnp.abs(a) + 0.1) ** b, jnp.sqrt(b * b + 1), jax.lax.rsqrt(a * a + 2)),
    "functions": lambda a, b: (jnp.exp(a), jnp.log1p(b * b), jnp.tanh(a), jax.nn.sigmoid(b), jnp.sin(a) * jnp.cos(b), jax.lax.erf(a), jnp.expm1(b), jnp.log(a * a + 1)),
    "choices": lambda a, b: (jnp.maximum(a, b), jnp.minimum(a, 0.3), jnp.where(a > b, a, b * b), jax.nn.relu(b), jnp.clip(a, -0.5, 0.5)),
    "sums": lambda a, b: (a.sum(), b.mean(0), a.max(1), b.min(), jnp.cumsum(a, 1), jax.nn.logsumexp(b, 1), jax.nn.softmax(a)),
    "shapes": lambda a, b: (a.T, b.reshape(2, 6), jnp.concatenate([a, b], 1), jnp.pad(a, ((1, 0), (0, 2)), constant_values=2.0), jax.lax.pad(a, b[0, 0], ((1, 2, 1), (-1, 0, 0))), a[1:, ::2], b[::-1], jnp.stack([a, b]), *jnp.split(a, 2, 1), a[:, None], jnp.broadcast_to(b[:1], (5, 4))),
    "reads": lambda a, b: (a[jnp.array([2, 0, 2])], jnp.take_along_axis(b, jnp.array([[0], [3], [3]]), 1), jax.lax.dynamic_slice(a, (jnp.int32(1), jnp.int32(0)), (2, 2)), jax.lax.dynamic_update_slice(a, b[:1], (jnp.int32(1), jnp.int32(0)))),
    "products": lambda a, b: (a @ b.T, jnp.einsum("ij,ik->jk", a, b), jnp.einsum("ij,ij->i", a, b), jnp.einsum("ij,kj->ikj", a, b)),
    "half": lambda a, b: ((a.astype(jnp.bfloat16) * b.astype(jnp.bfloat16)).astype(jnp.float32),),
    "calls": lambda a, b: (jax.jit(jnp.tanh)(a), jax.nn.gelu(b), jax.nn.silu(a), jax.checkpoint(lambda x: jnp.sin(x) ** 2)(b), jax.lax.stop_gradient(a) * b),
    "scans": lambda a, b: (
        jax.lax.scan(lambda h, x: (jnp.tanh(h + x * b[0]), h * x), a[0], b),
        jax.lax.scan(lambda h, x: (h * x, h), a[1], b, reverse=True)[0],
        jax.lax.fori_loop(0, 3, lambda i, h: h * a + i, b),
    ),
}  # fmt: skip


def leaves_close(ours, theirs, rtol=1e-5, atol=1e-5):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


@pytest.mark.parametrize("name", PROGRAMS)
def test_both_modes_are_jaxs(name):
    f = PROGRAMS[name]
    out, pull = reverse(f, A, B)
    expected, expected_pull = jax.vjp(f, A, B)
    leaves_close(out, expected)
    cotangents = jax.tree.map(
        lambda y: jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape), expected
    )
    leaves_close(pull(cotangents), expected_pull(cotangents))
    leaves_close(forward(f, (A, B), (B, A)), jax.jvp(f, (A, B), (B, A)))


@given(
    st.sampled_from([1, 2]),
    st.sampled_from(["SAME", "VALID", ((2, 0), (1, 3))]),
    st.sampled_from([1, 2]),
    st.integers(1, 3),
    st.booleans(),
)
def test_convolutions(stride, padding, dilation, width, last):
    x = np.random.default_rng(1).normal(size=(2, 7, 6, 2)).astype(np.float32)
    w = np.random.default_rng(2).normal(size=(width, 2, 2, 3)).astype(np.float32)
    numbers = ("NHWC", "HWIO", "NHWC") if last else ("CHWN", "HWOI", "NCHW")

    def f(x, w):
        return jax.lax.conv_general_dilated(
            x, w, (stride, 1), padding, rhs_dilation=(1, dilation), dimension_numbers=numbers
        )

    x, w = (x, w) if last else (x.transpose(3, 1, 2, 0), w.swapaxes(2, 3))
    (out, pull), (expected, expected_pull) = reverse(f, x, w), jax.vjp(f, x, w)
    leaves_close(pull(jnp.cos(out)), expected_pull(jnp.cos(expected)), atol=1e-4)
    leaves_close(forward(f, (x, w), (x, w)), jax.jvp(f, (x, w), (x, w)), atol=1e-4)


@pytest.mark.parametrize("name", ["perceptron", "convolutional", "attending", "recurrent"])
def test_gradients_of_networks(name):
    loss, spec = networks(4)[name]
    params = core_spec.init(spec, KEY)
    leaves_close(jax.jit(grad(loss))(params), jax.jit(jax.grad(loss))(params), atol=1e-6)


def test_a_gradient_can_be_differentiated_again_and_batched():
    f = lambda x: jnp.sum(jnp.tanh(x @ B.T) ** 3)
    ours = jax.vmap(lambda x: grad(lambda y: jnp.sum(grad(f)(y) ** 2))(x))(jnp.stack([A, B]))
    theirs = jax.vmap(lambda x: jax.grad(lambda y: jnp.sum(jax.grad(f)(y) ** 2))(x))(
        jnp.stack([A, B])
    )
    leaves_close(ours, theirs, atol=1e-4)


def test_what_no_input_moves_has_no_slope():
    leaves_close(
        grad(lambda x: 3.0 * jnp.sum(jnp.sign(x["a"])))({"a": A, "b": B}), {"a": 0 * A, "b": 0 * B}
    )
    assert float(grad(lambda x: x)(jnp.float32(2.0))) == 1


def test_an_equation_without_a_rule_is_named():
    with pytest.raises(
        NotImplementedError, match="no rule of differentiation for the primitive 'sort'"
    ):
        grad(lambda x: jnp.sort(x)[0])(A[0])
    with pytest.raises(NotImplementedError, match="in groups"):
        image, kernel = np.ones((1, 4, 4, 2), np.float32), np.ones((3, 3, 1, 2), np.float32)
        grad(
            lambda w: jnp.sum(
                jax.lax.conv_general_dilated(
                    image,
                    w,
                    (1, 1),
                    "SAME",
                    dimension_numbers=("NHWC", "HWIO", "NHWC"),
                    feature_group_count=2,
                )
            )
        )(kernel)


def test_the_study_measures_what_it_names():
    metrics = study(Config(widths=(4, 8), depths=(1, 16), batch=16), KEY).metrics
    assert metrics["largest_gradient_gap"] < 1e-5 and metrics["largest_slope_gap"] < 1e-4
    assert (
        2 <= metrics["largest_reverse_over_loss"] < 5
        and metrics["perceptron_forward_over_loss"] <= 3
    )
    assert metrics["memory_growth_reverse"] > metrics["memory_growth_forward"]


def test_bad_input_is_refused():
    with pytest.raises(UserError, match="depths two depths"):
        Config(depths=(3,))
