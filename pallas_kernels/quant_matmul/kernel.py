"""Product with a quantised matrix: the kernels for Triton and TPU."""

import jax
import jax.numpy as jnp

from pallas_kernels.launch import ceil_div, dot
from pallas_kernels.quant_matmul.formats import Quantised, unpack
from pallas_kernels.tiles import Tile, in_squares, launch_tiles, tiling


def forward(x: jax.Array, w: Quantised, backend: str) -> jax.Array:
    """x w [N, F], for x [N, D]: the sum over p of x[:, p::P] with the p-th codes of all bytes."""
    (N, _), (K, F), P, scales = x.shape, w.codes.shape, 8 // w.bits, w.scales
    x = jnp.pad(x, ((0, 0), (0, P * K - x.shape[1])))
    size = tiling(N, F, K, x.dtype, backend)
    B = _bytes(K, len(scales), size.K, backend)
    size = size._replace(N=min(size.N, 128), K=B)
    rows, columns = ceil_div(N, size.M), ceil_div(F, size.N)

    def step(*tiles):
        *parts, codes, scale = tiles
        weights = _weights(w, codes, scale, x.dtype)
        return (sum(dot(part.load(), weight) for part, weight in zip(parts, weights)),)

    of_w = lambda place, k: (k * B, place[1] * size.N)
    (y,) = launch_tiles(
        step,
        lambda sums, *tiles: tiles[-1].store(sums[0]),
        [*(x[:, p::P] for p in range(P)), w.codes, scales],
        [jax.ShapeDtypeStruct((N, F), x.dtype)],
        programs=rows * columns,
        place=lambda p, k: in_squares(p, rows, columns),
        steps=ceil_div(K, B),
        reads=[
            *[Tile((size.M, B), lambda place, k: (place[0] * size.M, k * B))] * P,
            Tile((B, size.N), of_w),
            _of_scales(K, len(scales), (B, size.N), of_w),
        ],
        writes=[Tile((size.M, size.N), lambda place, k: (place[0] * size.M, place[1] * size.N))],
        sums=[jax.ShapeDtypeStruct((size.M, size.N), jnp.float32)],
        tiling=size,
        backend=backend,
        name="quant_matmul",
    )
    return y


def backward(dy: jax.Array, w: Quantised, backend: str) -> jax.Array:
    """dy w^T [N, D]: a program sums the columns p, p + P, ... of dx, for each p, and XLA weaves."""
    (N, _), (K, F), P, scales = dy.shape, w.codes.shape, 8 // w.bits, w.scales
    size = tiling(N, K, F, dy.dtype, backend)
    wanted = size.N if backend.startswith("tpu") else max(16, size.N // P)
    B = _bytes(K, len(scales), wanted, backend)
    rows, columns = ceil_div(N, size.M), ceil_div(K, B)

    def step(dy, codes, scale, *_):
        weights, dy = _weights(w, codes, scale, dy.reference.dtype), dy.load()
        return tuple(dot(dy, weight, (1, 1)) for weight in weights)

    def finish(sums, dy, codes, scale, *outputs):
        for dx, total in zip(outputs, sums, strict=True):
            dx.store(total)

    of_w = lambda place, k: (place[1] * B, k * size.K)
    parts = launch_tiles(
        step,
        finish,
        [dy, w.codes, scales],
        [jax.ShapeDtypeStruct((N, K), dy.dtype)] * P,
        programs=rows * columns,
        place=lambda p, k: in_squares(p, rows, columns),
        steps=ceil_div(F, size.K),
        reads=[
            Tile((size.M, size.K), lambda place, k: (place[0] * size.M, k * size.K)),
            Tile((B, size.K), of_w),
            _of_scales(K, len(scales), (B, size.K), of_w),
        ],
        writes=[Tile((size.M, B), lambda place, k: (place[0] * size.M, place[1] * B))] * P,
        sums=[jax.ShapeDtypeStruct((size.M, B), jnp.float32)] * P,
        tiling=size,
        backend=backend,
        name="quant_matmul_dx",
    )
    return jnp.stack(parts, 2).reshape(N, P * K)[:, : w.D]


def _bytes(K: int, S: int, wanted: int, backend: str) -> int:
    """Rows of a tile of the codes [K, F]; on a TPU with 8 of the S rows of scales, or all."""
    return K // S * min(8, S) if backend.startswith("tpu") and S > 1 else wanted


def _of_scales(K: int, S: int, shape: tuple[int, int], start) -> Tile:
    """The scales [S, F] of the tile of codes [K, F] of this shape and start."""
    group = K // S

    def first(place, k):
        row, column = start(place, k)
        return 0 if S == 1 else jax.lax.div(row, group), column

    return Tile((1 if S == 1 else max(1, shape[0] // group), shape[1]), first)


def _weights(w: Quantised, codes, scale, dtype) -> list[jax.Array]:
    """The weights of the first, second, ... codes of a tile of bytes, dequantised in registers."""
    byte, scale = codes.load(), scale.load()
    (B, columns), S = byte.shape, len(scale)
    if S > 1:
        scale = jnp.broadcast_to(scale[:, None], (S, B // S, columns)).reshape(B, columns)
    values = (w.value(unpack(byte, w.bits, p)).astype(jnp.float32) for p in range(8 // w.bits))
    return [(value * scale).astype(dtype) for value in values]
