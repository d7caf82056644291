"""Matrix product with an epilogue: the kernel for Triton and TPU."""

import functools

import jax
import jax.numpy as jnp

from pallas_kernels.launch import ceil_div, dot
from pallas_kernels.matmul.reference import ACTIVATIONS
from pallas_kernels.tiles import PROCESSORS, Tile, in_squares, launch_tiles, tiling


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
    rows, columns, steps = ceil_div(M, size.M), ceil_div(N, size.N), ceil_div(K, size.K)
    whole = jnp.issubdtype(x.dtype, jnp.integer)
    result = jax.ShapeDtypeStruct((M, N), jnp.int32 if whole else x.dtype)
    summed = jnp.int32 if whole else jnp.float32
    tiles = rows * columns
    length = ceil_div(steps, splits_of(tiles, steps, backend))  # steps of a program
    splits = ceil_div(steps, length)  # programs that share a tile

    def tile(*axes: int) -> Tile:
        """A tile along two of the axes: 0 is M, 1 is N, 2 is K."""

        def start(place, k):
            row, column, split = place
            first = (row * size.M, column * size.N, (split * length + k) * size.K)
            return tuple(first[axis] for axis in axes)

        return Tile(tuple(size[axis] for axis in axes), start)

    def place(p, k):
        split = jax.lax.div(p, tiles) if splits > 1 else 0
        return *in_squares(p - split * tiles, rows, columns), split

    of_x, of_w = (0, 2) if contract[0] else (2, 0), (1, 2) if contract[1] else (2, 1)
    launched = functools.partial(
        launch_tiles,
        lambda x, w, *_: (dot(x.load(), w.load(), contract),),
        programs=tiles * splits,
        place=place,
        sums=[jax.ShapeDtypeStruct((size.M, size.N), summed)],
        tiling=size,
        backend=backend,
        name="matmul",
    )
    arrays, reads = [x, w], [tile(*of_x), tile(*of_w)]
    bias = None if bias is None else bias.reshape(1, N)
    if splits > 1:
        parts = launched(
            lambda sums, x, w, part: part.store(sums[0]),
            arrays,
            [jax.ShapeDtypeStruct((splits, M, N), summed)],
            steps=lambda place: jnp.minimum(length, steps - place[2] * length),
            reads=reads,
            writes=[Tile((None, size.M, size.N), lambda at, k: (at[2], *tile(0, 1).start(at, k)))],
        )
        y, z = finished(jnp.sum(parts[0], 0, dtype=summed), bias, residual, activation)
        return [y.astype(result.dtype), z.astype(result.dtype)][: 1 + keep]
    if bias is not None:
        arrays.append(bias)
        reads.append(Tile((1, size.N), lambda place, k: (0, place[1] * size.N)))
    if residual is not None:
        arrays.append(residual)
        reads.append(tile(0, 1))

    def finish(sums, x, w, *rest):
        rest = iter(rest)
        added = [None if x is None else next(rest).load() for x in (bias, residual)]
        for value in finished(sums[0], *added, activation)[: 1 + keep]:
            next(rest).store(value)

    outputs = [result] * (1 + keep)
    writes = [tile(0, 1)] * (1 + keep)
    return launched(finish, arrays, outputs, steps=steps, reads=reads, writes=writes)


def finished(z, bias, residual, activation: str | None):
    """The epilogue of the sums z: y = activation(z + bias) + residual, and z + bias."""
    z = z if bias is None else z + bias.astype(z.dtype)
    y = ACTIVATIONS[activation](z)
    return y if residual is None else y + residual.astype(y.dtype), z


def splits_of(tiles: int, steps: int, backend: str) -> int:
    """Programs that share a tile of the result, each with its part of the contracted axis.

    More than one if `tiles` programs fill less than half of a GPU's multiprocessors, as in decoding
    by a narrow matrix; a program then has at least four steps.
    """
    if backend.startswith("tpu"):
        return 1
    return max(1, min(PROCESSORS // tiles, steps // 4))
