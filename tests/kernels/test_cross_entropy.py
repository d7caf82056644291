"""Linear cross-entropy: bad input, extreme logits, mixed dtypes, products, memory, and meshes.

The weights of a sum are the cotangents of its losses, and the losses are the gradient of the
weights: both forms have the same losses and gradients.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import NamedSharding, PartitionSpec

from pallas_kernels import proof
from pallas_kernels.cross_entropy import linear_cross_entropy, linear_cross_entropy_sum, reference
from panorax.ops.unembedding import Unembedding, cross_entropy_sum
from panorax.testing.tolerances import DOUBLE, HALF, LAYER, SAME

KERNELS = ("xla", "triton_interpreted", "tpu_interpreted")
EVERY = dict(smoothing=0.1, z_loss=1e-2, ignore=-1, cap=30.0)


def arguments(seed, N=19, D=24, V=37, std=1.0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N, D), scale=std).astype(np.float32)
    return x, rng.normal(size=(D, V)).astype(np.float32), rng.integers(0, V, N).astype(np.int32)


def by_token(x, w, labels, weights, **options):
    """Losses, and the gradients of x and w if the cotangents of the losses are the weights."""
    loss, pull = jax.vjp(lambda x, w: linear_cross_entropy(x, w, labels, **options), x, w)
    return loss, *pull(weights)


def in_sum(x, w, labels, weights, **options):
    """The same from the sum."""
    total = lambda x, w, weights: linear_cross_entropy_sum(x, w, labels, weights, **options)
    dx, dw, losses = jax.grad(total, (0, 1, 2))(x, w, weights)
    return losses, dx, dw


FORMS = (by_token, in_sum)


@functools.partial(jax.jit, static_argnames=("implementation", "options", "form"))
def value_and_gradients(x, w, labels, g, implementation, options=(), form=in_sum):
    return form(x, w, labels, g, implementation=implementation, **dict(options))


def in_float64(x, w, labels, g, options=()):
    """Values and gradients of the definition."""
    with jax.enable_x64(True):
        x, w, g = (np.asarray(each, np.float64) for each in (x, w, g))
        exact = value_and_gradients(x, w, labels, g, "reference", options, form=by_token)
        return jax.tree.map(np.asarray, exact)


def assert_close(arrays, exact, tolerance):
    """Relative to the largest element of each array."""
    for x, y in zip(arrays, exact, strict=True):
        assert proof.error(x, y) <= tolerance["rtol"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("implementation", KERNELS)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-3, 1.0, 30.0]))
def test_drawn_values_equal_the_reference_in_float64(form, implementation, seed, std):
    """Losses and gradients, with logits of up to several hundred and ignored labels."""
    x, w, labels = arguments(seed, std=std)
    labels[::5] = -1
    g = np.random.default_rng(seed).normal(size=labels.shape).astype(np.float32)
    options = tuple(EVERY.items())
    ours = value_and_gradients(x, w, labels, g, implementation, options, form)
    assert_close(ours, in_float64(x, w, labels, g, options), LAYER)


@pytest.mark.parametrize("implementation", ("reference", *KERNELS))
def test_the_sum_is_weighted(implementation):
    """Without weights every loss counts once; a cotangent scales all gradients."""
    x, w, labels = arguments(5)
    labels[::5] = -100
    losses, *_ = in_float64(x, w, labels, np.ones(19))
    total = functools.partial(linear_cross_entropy_sum, implementation=implementation)
    np.testing.assert_allclose(total(x, w, labels), np.sum(losses), **SAME)
    weights = np.linspace(-1, 2, 19, dtype=np.float32)
    loss = lambda x, w, weights: -3 * total(x, w, labels, weights)
    value, gradients = jax.value_and_grad(loss, (0, 1, 2))(x, w, weights)
    np.testing.assert_allclose(value, -3 * np.sum(losses * weights), **SAME)
    losses, dx, dw = in_float64(x, w, labels, weights)
    assert_close(gradients, (-3 * dx, -3 * dw, -3 * losses), LAYER)


@pytest.mark.parametrize("implementation", ("reference", *KERNELS))
def test_an_ignored_token_has_no_loss_and_no_gradient(implementation):
    x, w, labels = arguments(0)
    labels[3] = -100
    value, dx, dw = value_and_gradients(x, w, labels, np.ones(19, np.float32), implementation)
    assert value[3] == 0 and not np.any(dx[3]) and np.all(value[:3] > 0)
    others = np.delete(np.arange(19), 3)
    *_, of_others = value_and_gradients(
        x[others], w, labels[others], np.ones(18, np.float32), implementation
    )
    np.testing.assert_allclose(dw, of_others, **SAME)


@pytest.mark.parametrize("implementation", ("reference", *KERNELS))
def test_a_label_outside_the_vocabulary_makes_its_loss_nan(implementation):
    x, w, labels = arguments(0)
    labels[:3] = [-100, 37, -1]
    value, *_ = value_and_gradients(x, w, labels, np.ones(19, np.float32), implementation)
    np.testing.assert_array_equal(np.isnan(value), np.isin(np.arange(19), [1, 2]))
    options = (("ignore", None),)
    value, *_ = value_and_gradients(x, w, labels, np.ones(19, np.float32), implementation, options)
    assert np.isnan(value[:3]).all()


@pytest.mark.parametrize("implementation", KERNELS)
def test_huge_logits_give_the_exact_loss(implementation):
    """One class leads by 1e4: its loss is 0, that of another class the lead."""
    x, w = np.float32([[1.0, 0.0]] * 2), np.zeros((2, 5), np.float32)
    w[0, 2] = 1e4
    loss, dx, dw = value_and_gradients(
        x, w, np.int32([2, 0]), np.ones(2, np.float32), implementation
    )
    np.testing.assert_array_equal(loss, [0, 1e4])
    assert np.isfinite(dx).all() and np.isfinite(dw).all()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("implementation", KERNELS)
def test_a_float32_projection_keeps_its_gradient_beside_bfloat16_states(form, implementation):
    x, w, labels = arguments(1)
    half, g = jnp.asarray(x, jnp.bfloat16), np.ones(19, np.float32)
    loss, dx, dw = value_and_gradients(half, w, labels, g, implementation, form=form)
    assert (loss.dtype, dx.dtype, dw.dtype) == (jnp.float32, jnp.bfloat16, jnp.float32)
    assert_close((loss, dx, dw), in_float64(half, w, labels, g), HALF)


@pytest.mark.parametrize("form", FORMS)
def test_float64_is_computed_in_float64(form):
    x, w, labels = arguments(2)
    with jax.enable_x64(True):
        wide = (np.asarray(each, np.float64) for each in (x, w, np.ones(19)))
        x, w, g = wide
        ours = value_and_gradients(x, w, labels, g, "xla", form=form)
    for a, b in zip(ours, in_float64(x, w, labels, g)):
        np.testing.assert_allclose(a, b, **DOUBLE)


def products(function, *arguments) -> int:
    """Matrix products that XLA compiles."""
    text = jax.jit(function).lower(*arguments).compiler_ir("hlo").as_hlo_text()
    return text.count(" dot(")


@pytest.mark.parametrize("implementation", ("xla", "tpu_interpreted"))
def test_the_sum_computes_its_gradients_with_three_products(implementation):
    """One without gradients; by token the logits are computed twice."""
    x, w, labels = arguments(6)
    total = functools.partial(linear_cross_entropy_sum, implementation=implementation)
    g = np.ones(19, np.float32)
    form = lambda form: lambda *arrays: form(*arrays, implementation=implementation)
    assert products(total, x, w, labels, g) == 1
    assert products(form(in_sum), x, w, labels, g) == 3
    assert products(form(by_token), x, w, labels, g) == 4


def test_the_sum_can_be_computed_again_in_the_backward_pass():
    x, w, labels = arguments(7)
    total = lambda x, w: linear_cross_entropy_sum(x, w, labels, implementation="xla")
    dx, dw = jax.jit(jax.grad(jax.checkpoint(total), (0, 1)))(x, w)
    jax.tree.map(np.testing.assert_array_equal, (dx, dw), jax.jit(jax.grad(total, (0, 1)))(x, w))


@pytest.mark.parametrize("form", FORMS)
def test_memory_is_linear_in_tokens_plus_vocabulary(form):
    """Temporary bytes with the gradients, against the float32 logits of all tokens."""
    N, D, V = 4096, 32, 4096

    def temporary(implementation):
        shapes = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((N, D), (D, V), (N,))]
        shapes.insert(2, jax.ShapeDtypeStruct((N,), jnp.int32))
        lowered = value_and_gradients.lower(*shapes, implementation, form=form)
        return lowered.compile().memory_analysis().temp_size_in_bytes

    assert temporary("reference") > 4 * N * V > 5 * temporary("xla")


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(x=np.zeros((19, 23), np.float32)), "x is (..., D), w (D, V) and labels (...)"),
        (dict(labels=np.zeros(18, np.int32)), "got (19, 24), (24, 37), (18,)"),
        (dict(labels=np.zeros(19, np.float32)), "labels are integers, not float32"),
        (dict(smoothing=1.5), "0 <= smoothing <= 1 and cap > 0; got 1.5 and None"),
        (dict(cap=0.0), "got 0.0 and 0.0"),
        (dict(weights=np.ones((19, 1))), "weights are (19,) like labels; got (19, 1)"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(change, message):
    x, w, labels = arguments(0)
    with pytest.raises(ValueError) as error:
        linear_cross_entropy_sum(**(dict(x=x, w=w, labels=labels) | change))
    assert message in str(error.value)


def weighted_loss(x, w, labels, weights):
    return cross_entropy_sum(Unembedding(x, w), labels, weights) / labels.size


@pytest.mark.parametrize("sizes", [(4, 2, 1), (2, 2, 2), (1, 1, 8)])
def test_devices_compute_their_own_rows(sizes):
    """Values on a mesh; no collective runs inside the loop over chunks unless classes are split."""
    x, w, labels = arguments(3, N=8 * 300, D=8, V=40)
    x, labels = x.reshape(8, 300, 8), labels.reshape(8, 300)
    weights = np.random.default_rng(3).normal(size=labels.shape).astype(np.float32)
    whole = jax.jit(jax.value_and_grad(weighted_loss, (0, 1)))(x, w, labels, weights)
    names, auto = ("data", "fsdp", "tensor"), (jax.sharding.AxisType.Auto,) * 3
    mesh = jax.make_mesh(sizes, names, axis_types=auto)
    split = lambda *axes: NamedSharding(mesh, PartitionSpec(*axes))
    rows, columns = split(("data", "fsdp")), split("fsdp", "tensor")
    shardings = (rows, columns, rows, rows)
    with jax.set_mesh(mesh):
        step = jax.jit(
            jax.value_and_grad(weighted_loss, (0, 1)),
            in_shardings=shardings,
            out_shardings=(None, (rows, columns)),
        )
        compiled = step.lower(x, w, labels, weights).compile()
        parts = jax.device_put((x, w, labels, weights), shardings)
        jax.tree.map(functools.partial(np.testing.assert_allclose, **SAME), compiled(*parts), whole)
    text = compiled.as_text()
    assert text.count(" all-reduce(") <= (2 if sizes[2] == 1 else 6)
    assert " all-to-all(" not in text and text.count(" all-gather(") <= 1


@pytest.mark.parametrize("weighted", [True, False])
def test_inside_shard_map_the_gradient_of_the_projection_is_summed(weighted):
    x, w, labels = arguments(4, N=16, V=100)
    weights = np.linspace(0, 1, 16, dtype=np.float32) if weighted else None
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    rows, whole = PartitionSpec("data"), PartitionSpec()
    mapped = jax.shard_map(
        lambda *a: jax.lax.pmean(weighted_loss(*a), "data"),
        mesh=mesh,
        in_specs=(rows, whole, rows, rows),
        out_specs=whole,
    )
    ours = jax.jit(jax.grad(mapped, (0, 1)))(x, w, labels, weights)
    mean = lambda x, w: jnp.mean(reference(x, w, labels) * (1 if weights is None else weights))
    theirs = jax.jit(jax.grad(mean, (0, 1)))(x, w)
    jax.tree.map(functools.partial(np.testing.assert_allclose, **SAME), ours, theirs)


@pytest.mark.parametrize("function", [linear_cross_entropy, linear_cross_entropy_sum])
@pytest.mark.parametrize("V, logits", [(96, True), (97, False)])
def test_logits_are_materialised_by_default_only_for_small_vocabularies(function, V, logits):
    """Up to four classes for each of the 24 features."""
    x, w, labels = arguments(0, N=300, V=V)
    traced = str(jax.make_jaxpr(function)(x, w, labels))
    assert (f"f32[300,{V}]" in traced) == logits
