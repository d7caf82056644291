"""Linear cross-entropy: bad input, extreme logits, mixed dtypes, memory, and meshes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import NamedSharding, PartitionSpec

from pallas_kernels.cross_entropy import linear_cross_entropy, reference
from panorax.ops import unembedding
from panorax.testing.tolerances import DOUBLE, HALF, LAYER, SAME

KERNELS = ("xla", "triton_interpreted", "tpu_interpreted")
EVERY = dict(smoothing=0.1, z_loss=1e-2, ignore=-1, cap=3.0)


def arguments(seed, N=19, D=24, V=37, std=1.0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N, D), scale=std).astype(np.float32)
    return x, rng.normal(size=(D, V)).astype(np.float32), rng.integers(0, V, N).astype(np.int32)


@functools.partial(jax.jit, static_argnames=("implementation", "options"))
def value_and_gradients(x, w, labels, g, implementation, options=()):
    loss = functools.partial(linear_cross_entropy, implementation=implementation, **dict(options))
    value, pull = jax.vjp(lambda x, w: loss(x, w, labels), x, w)
    return value, *pull(g)


@pytest.mark.parametrize("implementation", KERNELS)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-3, 1.0, 30.0]))
def test_drawn_values_equal_the_reference(implementation, seed, std):
    """Losses and gradients, with logits of up to several hundred and ignored labels."""
    x, w, labels = arguments(seed, std=std)
    labels[::5] = -1
    g = np.random.default_rng(seed).normal(size=labels.shape).astype(np.float32)
    options = tuple(EVERY.items())
    ours = value_and_gradients(x, w, labels, g, implementation, options)
    theirs = value_and_gradients(x, w, labels, g, "reference", options)
    for a, b in zip(ours, theirs):
        scale = max(1, np.max(np.abs(b)))
        np.testing.assert_allclose(a / scale, b / scale, **LAYER)


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


@pytest.mark.parametrize("implementation", KERNELS)
def test_float32_weights_keep_float32_gradients_beside_bfloat16_states(implementation):
    x, w, labels = arguments(1)
    half = jnp.asarray(x, jnp.bfloat16)
    loss, dx, dw = value_and_gradients(half, w, labels, np.ones(19, np.float32), implementation)
    assert (loss.dtype, dx.dtype, dw.dtype) == (jnp.float32, jnp.bfloat16, jnp.float32)
    exact = value_and_gradients(half.astype(jnp.float32), w, labels, np.ones(19), "reference")
    for a, b in zip((loss, dx, dw), exact):
        scale = np.max(np.abs(b))
        np.testing.assert_allclose(np.float32(a) / scale, b / scale, **HALF)


def test_float64_is_computed_in_float64():
    with jax.enable_x64(True):
        x, w, labels = arguments(2)
        x, w = x.astype(np.float64), w.astype(np.float64)
        ours = value_and_gradients(x, w, labels, np.ones(19), "xla")
        theirs = value_and_gradients(x, w, labels, np.ones(19), "reference")
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a, b, **DOUBLE)


def test_memory_is_linear_in_tokens_plus_vocabulary():
    """Temporary bytes with the gradients, against the float32 logits of all tokens."""
    N, D, V = 4096, 32, 4096

    def temporary(implementation):
        shapes = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((N, D), (D, V), (N,))]
        shapes.insert(2, jax.ShapeDtypeStruct((N,), jnp.int32))
        lowered = value_and_gradients.lower(*shapes, implementation=implementation)
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
    ],
)
def test_arguments_that_do_not_fit_are_refused(change, message):
    x, w, labels = arguments(0)
    with pytest.raises(ValueError) as error:
        linear_cross_entropy(**(dict(x=x, w=w, labels=labels) | change))
    assert message in str(error.value)


@pytest.mark.parametrize("sizes", [(4, 2, 1), (2, 2, 2), (1, 1, 8)])
def test_devices_compute_their_own_rows(sizes):
    """Values on a mesh; no collective runs inside the loop over chunks unless classes are split."""
    x, w, labels = arguments(3, N=8 * 300, D=8, V=16)
    x, labels = x.reshape(8, 300, 8), labels.reshape(8, 300)
    loss = functools.partial(unembedding.linear_cross_entropy, implementation="xla")
    total = lambda x, w, labels: jnp.mean(loss(x, w, labels))
    whole = jax.jit(jax.value_and_grad(total, (0, 1)))(x, w, labels)
    names, auto = ("data", "fsdp", "tensor"), (jax.sharding.AxisType.Auto,) * 3
    mesh = jax.make_mesh(sizes, names, axis_types=auto)
    split = lambda *axes: NamedSharding(mesh, PartitionSpec(*axes))
    rows, columns = split(("data", "fsdp")), split("fsdp", "tensor")
    with jax.set_mesh(mesh):
        step = jax.jit(
            jax.value_and_grad(total, (0, 1)),
            in_shardings=(rows, columns, rows),
            out_shardings=(None, (rows, columns)),
        )
        compiled = step.lower(x, w, labels).compile()
        parts = jax.device_put((x, w, labels), (rows, columns, rows))
        jax.tree.map(functools.partial(np.testing.assert_allclose, **SAME), compiled(*parts), whole)
    text = compiled.as_text()
    assert text.count(" all-reduce(") <= (1 if sizes[2] == 1 else 4)
    assert " all-to-all(" not in text and text.count(" all-gather(") <= 1


def test_inside_shard_map_the_gradient_of_the_weight_is_summed():
    x, w, labels = arguments(4, N=16)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    loss = functools.partial(unembedding.linear_cross_entropy, implementation="xla")
    mean = lambda x, w, labels: jnp.mean(loss(x, w, labels))
    rows, whole = PartitionSpec("data"), PartitionSpec()
    mapped = jax.shard_map(
        lambda *a: jax.lax.pmean(mean(*a), "data"),
        mesh=mesh,
        in_specs=(rows, whole, rows),
        out_specs=whole,
    )
    ours = jax.jit(jax.grad(mapped, (0, 1)))(x, w, labels)
    theirs = jax.jit(jax.grad(lambda *a: jnp.mean(reference(*a)), (0, 1)))(x, w, labels)
    jax.tree.map(functools.partial(np.testing.assert_allclose, **SAME), ours, theirs)


@pytest.mark.parametrize("V, logits", [(96, True), (97, False)])
def test_logits_are_materialised_by_default_only_for_small_vocabularies(V, logits):
    """Up to four classes for each of the 24 features."""
    x, w, labels = arguments(0, N=300, V=V)
    traced = str(jax.make_jaxpr(linear_cross_entropy)(x, w, labels))
    assert (f"f32[300,{V}]" in traced) == logits
