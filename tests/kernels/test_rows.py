"""Kernels on rows: sums over the rows of all programs, rows that are too wide, and their users."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pallas_kernels import rows
from pallas_kernels.launch import permuted
from pallas_kernels.layer_norm import layer_norm
from pallas_kernels.rms_norm import rms_norm
from pallas_kernels.rows import PROGRAMS, WIDEST, launch_rows
from pallas_kernels.softmax import softmax
from panorax.core import spec
from panorax.nets.decoders import decoder, gemma, llama
from panorax.testing.tolerances import LAYER

BACKENDS = pytest.mark.parametrize("backend", ("triton_interpreted", "tpu_interpreted"))


@BACKENDS
def test_sums_count_each_row_once(backend, monkeypatch):
    """Rows do not fill the blocks, nor blocks the programs; padding would give NaN."""
    monkeypatch.setattr(rows, "PROGRAMS", 3)
    monkeypatch.setattr(rows, "HELD", 256)
    monkeypatch.setattr(rows, "HELD_TPU", 1024)
    x = np.random.default_rng(0).normal(size=(37, 70)).astype(np.float32)

    def body(x, y):
        row = x.load(fill=np.inf)
        y.store(2 * row)
        return row, row / row

    call = functools.partial(launch_rows, body, sums=2, backend=backend, name="sums")
    doubled, total, count = jax.jit(lambda x: call([x], [x]))(x)
    np.testing.assert_array_equal(doubled, 2 * x)
    np.testing.assert_allclose(total, x.sum(0), **LAYER)
    np.testing.assert_array_equal(count, np.full(70, 37))
    with permuted():
        moved = jax.jit(lambda x: call([x], [x]))(x)
    jax.tree.map(np.testing.assert_array_equal, moved, [doubled, total, count])


def test_partial_sums_are_few_beside_the_rows(monkeypatch):
    """The gradient of a scale of 8k tokens and 4,096 elements costs 264 rows, not 8,192."""
    written = []

    def record(body, arrays, outputs, **options):
        written.extend(outputs)
        return [jnp.zeros(x.shape, x.dtype) for x in outputs]

    monkeypatch.setattr(rows, "launch", record)
    x = jax.ShapeDtypeStruct((8192, 4096), jnp.bfloat16)
    scale = jax.ShapeDtypeStruct((4096,), jnp.bfloat16)
    run = functools.partial(rms_norm, implementation="triton")
    jax.eval_shape(jax.grad(lambda *xs: jnp.sum(run(*xs)), (0, 1)), x, scale)
    (partial,) = (y for y in written if y.ndim == 3)
    assert partial.shape[0] <= PROGRAMS and partial.shape[1:] == (1, 4096)


@pytest.mark.parametrize(
    "run",
    (
        softmax,
        lambda x, **chosen: rms_norm(x, jnp.ones(x.shape[-1]), **chosen),
        lambda x, **chosen: layer_norm(x, jnp.ones(x.shape[-1]), jnp.ones(x.shape[-1]), **chosen),
    ),
    ids=("softmax", "rms_norm", "layer_norm"),
)
def test_rows_that_are_too_wide_go_to_the_reference(run, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    widest, wider = (jax.ShapeDtypeStruct((2, WIDEST + i), jnp.float32) for i in (0, 1))
    assert "pallas_call" in str(jax.make_jaxpr(run)(widest))
    assert "pallas_call" not in str(jax.make_jaxpr(run)(wider))
    with pytest.raises(
        NotImplementedError, match="holds rows of at most 65536 elements, not 65537"
    ):
        jax.eval_shape(functools.partial(run, implementation="triton"), wider)


@pytest.mark.parametrize("family", (llama, gemma))
def test_a_decoder_runs_the_kernels_on_a_gpu_and_none_on_a_cpu(family, monkeypatch):
    cfg = family.Model(vocab=16, d_model=8, n_layers=1, n_heads=2, n_kv_heads=1, d_ff=12)
    net = decoder.net(cfg)
    params, tokens = spec.abstract(net.spec), jax.ShapeDtypeStruct((1, 3), jnp.int32)
    program = lambda: str(jax.make_jaxpr(lambda *xs: net.apply(xs[0], (), xs[1]))(params, tokens))
    assert "pallas_call" not in program()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    calls = program()
    assert all(f"name={name}" in calls for name in ("rms_norm", "rope", "gated"))
