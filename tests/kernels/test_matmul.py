"""Matrix product: integers, poisoned edges, the order of tiles, and refused arguments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas import mosaic_gpu

from pallas_kernels.matmul import matmul, mosaic
from pallas_kernels.matmul.kernel import product
from pallas_kernels.tiles import in_squares, tiling
from panorax.testing.tolerances import HALF, LAYER

KERNELS = ("triton_interpreted", "tpu_interpreted")
draw = np.random.default_rng(0)
x = draw.normal(size=(2, 3, 40)).astype(np.float32)
w = draw.normal(size=(40, 24)).astype(np.float32)


@pytest.mark.parametrize("implementation", KERNELS)
def test_extremes_of_int8_sum_exactly_in_int32(implementation):
    """-128 * -128 * D leaves int16 from D = 2 on, and float32's integers from D = 1025 on."""
    a, b = np.full((3, 1100), -128, np.int8), np.full((1100, 20), -128, np.int8)
    b[:, 1], a[0, 0] = 127, 127
    y = matmul(a, b, implementation=implementation)
    assert y.dtype == jnp.int32
    np.testing.assert_array_equal(y, a.astype(np.int64) @ b.astype(np.int64))


@pytest.mark.parametrize("implementation, activation", [*zip(KERNELS, ("relu", None))])
def test_gradients_of_every_argument(implementation, activation):
    bias, residual = draw.normal(size=24), draw.normal(size=(2, 3, 24))
    arguments = (x, w, bias.astype(np.float32), residual.astype(np.float32))

    def pulled(implementation):
        call = lambda *a: matmul(*a, activation=activation, implementation=implementation)
        y, pull = jax.vjp(call, *arguments)
        return y, pull(np.cos(np.arange(y.size, dtype=np.float32)).reshape(y.shape))

    measured, exact = jax.jit(pulled, static_argnums=0)(implementation), pulled("reference")
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **LAYER), measured, exact)


def test_what_is_kept_for_the_backward_pass():
    """z, if there is an activation: dy act'(z); no array of the size of y otherwise."""

    def kept(activation):
        _, pull = jax.vjp(
            lambda x, w: matmul(x, w, activation=activation, implementation="tpu_interpreted"), x, w
        )
        return sum(leaf.shape == (6, 24) for leaf in jax.tree.leaves(pull))

    assert kept(None) == 0
    assert kept("silu") == 1


@pytest.mark.parametrize("rows, columns", [(1, 1), (3, 5), (8, 2), (19, 7), (40, 1)])
def test_squares_visit_every_tile_once(rows, columns):
    m, n = in_squares(jnp.arange(rows * columns), rows, columns)
    assert sorted(zip(m.tolist(), n.tolist())) == [
        (i, j) for i in range(rows) for j in range(columns)
    ]


def test_programs_that_run_at_once_share_rows_and_columns():
    """132 tiles of a 64 x 56 grid need 24 rows and columns of tiles; row by row they need 59."""
    m, n = in_squares(jnp.arange(132), 64, 56)
    assert len(set(m.tolist())) + len(set(n.tolist())) <= 25


@pytest.mark.parametrize("dtype", (jnp.bfloat16, jnp.float32, jnp.int8))
@pytest.mark.parametrize("M, N, K", [(1, 14_336, 4096), (8192, 4096, 14_336), (300, 70, 33)])
def test_tiles_fit_the_chip(dtype, M, N, K):
    """Powers of two and 227 KiB of shared memory on a GPU; 16 MiB of VMEM on a TPU."""
    size = jnp.dtype(dtype).itemsize
    gpu, tpu = (tiling(M, N, K, dtype, backend) for backend in ("triton", "tpu"))
    assert all(n & (n - 1) == 0 for n in gpu[:4])
    assert gpu.stages * (gpu.M + gpu.N) * gpu.K * size <= 227 * 2**10
    assert gpu.M * gpu.N <= 128 * gpu.warps * 32
    assert 2 * (tpu.M + tpu.N) * tpu.K * size + tpu.M * tpu.N * (4 + 2 * size) <= 16 * 2**20


def test_every_processor_has_a_tile_of_a_product_for_one_token():
    size = tiling(1, 4096, 14_336, jnp.bfloat16, "triton")
    assert -(-4096 // size.N) >= 128


@pytest.mark.parametrize("implementation", KERNELS)
def test_a_result_that_is_nan_stays_in_its_row(implementation):
    poisoned = x[0].copy()
    poisoned[1] = np.nan
    y = np.asarray(matmul(poisoned, w, implementation=implementation))
    assert np.isnan(y[1]).all()
    np.testing.assert_allclose(y[[0, 2]], (x[0] @ w)[[0, 2]], **LAYER)


@pytest.mark.parametrize("contract", [(1, 0), (1, 1), (0, 0)])
def test_contracted_axes(contract):
    a = x.reshape(6, 40) if contract[0] else x.reshape(6, 40).T
    b = w.T if contract[1] else w
    (y,) = product(jnp.asarray(a), jnp.asarray(b), "tpu_interpreted", contract=contract)
    np.testing.assert_allclose(y, x.reshape(6, 40) @ w, **LAYER)


@pytest.mark.skipif(not hasattr(mosaic_gpu, "InterpretGPUParams"), reason="from jax 0.11 on")
@pytest.mark.parametrize("contract", [(1, 0), (1, 1), (0, 0)])
def test_mosaic_under_its_interpreter_has_no_race(contract, capsys):
    """Five steps, two tiles. The interpreter prints races of warpgroups and copies.

    It finds a result written over while it is copied out, and a copy before the write is visible;
    it runs wgmma at once, so that a missing `wgmma_wait` escapes.
    """
    K = 5 * mosaic.K
    a = draw.normal(size=(mosaic.M, K) if contract[0] else (K, mosaic.M))
    b = draw.normal(size=(2 * mosaic.N, K) if contract[1] else (K, 2 * mosaic.N))
    a, b = jnp.asarray(a, jnp.bfloat16), jnp.asarray(b / 18, jnp.bfloat16)
    interpret = mosaic_gpu.InterpretGPUParams(detect_races=True)
    options = {"contract": contract, "activation": "silu", "keep": True}
    measured = jax.block_until_ready(mosaic.product(a, b, **options, interpret=interpret))
    assert "RACE" not in capsys.readouterr().out
    exact = product(a, b, "tpu_interpreted", **options)
    for x, y in zip(measured, exact, strict=True):
        np.testing.assert_allclose(np.asarray(x, np.float32), np.asarray(y, np.float32), **HALF)


def test_what_mosaic_refuses():
    whole = jnp.zeros((128, 256), jnp.bfloat16), jnp.zeros((256, 256), jnp.bfloat16)
    for message, arguments in {
        "not float32": (x, w),
        "multiples of 128, 256, 256": (whole[0][:100], whole[1]),
        "neither bias": (*whole, jnp.zeros(256)),
    }.items():
        with pytest.raises(NotImplementedError, match=message):
            matmul(*arguments, implementation="mosaic")


REFUSED = {
    r"x is \[\.\.\., D\]": (x, w.T),
    "bias is": (x, w, np.zeros(5, np.float32)),
    "residual is": (x, w, None, np.zeros((2, 3, 5), np.float32)),
    "one dtype": (x, w.astype(np.float16)),
    "residual is float32": (x, w, None, np.zeros((2, 3, 24), np.float16)),
    "bias is floating": (x, w, np.zeros(24, np.int32)),
    "x is bfloat16": (x.astype(np.int32), w.astype(np.int32)),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_it_refuses(message):
    with pytest.raises(ValueError, match=message):
        matmul(*REFUSED[message])


def test_refused_activations():
    with pytest.raises(ValueError, match="accepted: None, relu, silu, gelu"):
        matmul(x, w, activation="tanh")
    with pytest.raises(ValueError, match="int8 is None or 'relu'"):
        matmul(x.astype(np.int8), w.astype(np.int8), activation="gelu")


def test_float64_has_no_kernel():
    with jax.enable_x64(True), pytest.raises(NotImplementedError, match="kernels multiply"):
        matmul(x.astype(np.float64), w.astype(np.float64), implementation="triton")
