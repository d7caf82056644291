"""Matrix product with an epilogue: the kernel for Triton and TPU."""

import jax
import jax.numpy as jnp

from pallas_kernels.launch import ceil_div, dot
from pallas_kernels.matmul.reference import ACTIVATIONS
from pallas_kernels.tiles import Tile, in_squares, launch_tiles, tiling


def product(
    x: jax.Array,
    w: jax.Array,
    backend: str,
    bias: jax.Array | None = None,
    residual: jax.Array | None = None,
    *,
    contract: tuple[int, int] = (1, 0),
    activation: str | None = None,
    keep: bool = False,
) -> list[jax.Array]:
    """[y], or [y, z] if `keep`: z = x w + bias, y = activation(z) + residual [M, N].

    contract: the axes of the matrices x and w that are summed; (1, 1) is x w^T and (0, 0) x^T w.
    """
    M, K, N = x.shape[1 - contract[0]], x.shape[contract[0]], w.shape[1 - contract[1]]
    size = tiling(M, N, K, x.dtype, backend)
    rows, columns = ceil_div(M, size.M), ceil_div(N, size.N)
    whole = jnp.issubdtype(x.dtype, jnp.integer)
    result = jax.ShapeDtypeStruct((M, N), jnp.int32 if whole else x.dtype)

    def tile(*axes: int) -> Tile:
        """A tile along two of the axes: 0 is M, 1 is N, 2 is K."""

        def start(place, k):
            first = (place[0] * size.M, place[1] * size.N, k * size.K)
            return tuple(first[axis] for axis in axes)

        return Tile(tuple(size[axis] for axis in axes), start)

    of_x, of_w = (0, 2) if contract[0] else (2, 0), (1, 2) if contract[1] else (2, 1)
    arrays, reads = [x, w], [tile(*of_x), tile(*of_w)]
    if bias is not None:
        arrays.append(bias.reshape(1, N))
        reads.append(Tile((1, size.N), lambda place, k: (0, place[1] * size.N)))
    if residual is not None:
        arrays.append(residual)
        reads.append(tile(0, 1))

    def step(x, w, *_):
        return (dot(x.load(), w.load(), contract),)

    def finish(sums, x, w, *rest):
        (z,), rest = sums, iter(rest)
        if bias is not None:
            z += next(rest).load().astype(z.dtype)
        y = ACTIVATIONS[activation](z)
        if residual is not None:
            y += next(rest).load().astype(y.dtype)
        next(rest).store(y)
        if keep:
            next(rest).store(z)

    return launch_tiles(
        step,
        finish,
        arrays,
        [result, result] if keep else [result],
        programs=rows * columns,
        place=lambda p, k: in_squares(p, rows, columns),
        steps=ceil_div(K, size.K),
        reads=reads,
        writes=[tile(0, 1)] * (2 if keep else 1),
        sums=[jax.ShapeDtypeStruct((size.M, size.N), jnp.int32 if whole else jnp.float32)],
        tiling=size,
        backend=backend,
        name="matmul",
    )
