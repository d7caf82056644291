"""How a kernel starts, reads and writes in Pallas, by Triton on a GPU and by Mosaic on a TPU.

A kernel is a Python function of references, the body, which runs once for every program of a grid.
`launch` runs it on one of these backends:

    triton      Pallas by Triton, on a GPU. A reference points to HBM; `load` brings a block into
                registers. Every array in the body has power-of-two sizes; a mask hides the rest.
    tpu         Pallas on a TPU. The block of each reference has been copied to VMEM before the body
                starts, and is copied back after it ends.
    *_interpreted    the same body as a loop of XLA operations on any machine, in grid order. Memory
                that nothing has written is NaN.

Programs may run in any order and at once. `permuted` makes the interpreter visit them in another
order, which shows kernels that rely on grid order.

jax deprecates Pallas on Triton in 0.11 (it warns when it lowers). Only this file uses it. Kernels
in other ways, Mosaic GPU, jax-triton and CUDA C++, have files of their own.
"""

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

Block = pl.BlockSpec
ceil_div, power_of_2, when = pl.cdiv, pl.next_power_of_2, pl.when
ds = pl.ds  # (start, size), an index: `size` elements from `start` on
EVERY = (slice(None), slice(None))  # an index: all rows and columns
PROCESSORS = 132  # multiprocessors of an H100 or H200, which blocks and grids keep busy

_masked = contextvars.ContextVar("_masked")  # has the backend masked access to memory?
_grid = contextvars.ContextVar("_grid")  # grid of the kernel that is traced
_in_order = contextvars.ContextVar("_in_order", default=True)  # does step i run program i?


def launch(
    body: Callable,
    arrays: Sequence[jax.Array],
    outputs: Sequence[jax.ShapeDtypeStruct],
    *,
    grid: tuple[int, ...],
    reads: Sequence[pl.BlockSpec],
    writes: Sequence[pl.BlockSpec],
    backend: str,
    name: str,
    warps: int = 4,
    stages: int = 2,
    vmem: int | None = None,
    maps: int = 0,
    scratch: Sequence[jax.ShapeDtypeStruct] = (),
    steps: int | None = None,
) -> list[jax.Array]:
    """Runs `body(*input_references, *output_references)` for each program of the grid.

    reads, writes: the block that each program sees, `Block(shape, program ids -> block indices)`.
    warps, stages: of a GPU program, warps of 32 threads and depth of the software pipeline.

    On a TPU alone:
    vmem: bytes that a program may use; None for the compiler's limit.
    steps: adds a last axis to the grid that runs in order, so that a program works in steps.
    scratch: arrays in VMEM that the steps of a program share; the body receives them last.
    maps: the first `maps` arrays are integers that index maps receive too, after the program ids
    and the step.
    Raises NotImplementedError for float16 on a TPU, which has no such numbers.
    """
    if backend == "tpu" and any(x.dtype == jnp.float16 for x in (*arrays, *outputs)):
        raise NotImplementedError(f"{name}: a TPU computes in bfloat16 and float32, not in float16")
    target, _, interpreted = backend.partition("_")
    on_tpu, free = target == "tpu", grid
    axes = ("parallel",) * len(grid)
    if steps is not None:
        grid, axes = (*grid, steps), (*axes, "arbitrary")
    params = (
        _tpu().CompilerParams(dimension_semantics=axes, vmem_limit_bytes=vmem)
        if on_tpu
        else _triton().CompilerParams(num_warps=warps, num_stages=stages)
    )

    def traced(*references):
        tokens = _masked.set(not on_tpu), _grid.set(free)
        body(*references)
        _masked.reset(tokens[0])
        _grid.reset(tokens[1])

    blocks = {
        "grid": grid,
        "in_specs": [_visited(block, free) for block in reads],
        "out_specs": [_visited(block, free) for block in writes],
    }
    if on_tpu:
        held = [_tpu().VMEM(x.shape, x.dtype) for x in scratch]
        shared = {"num_scalar_prefetch": maps, "scratch_shapes": held}
        blocks = {"grid_spec": _tpu().PrefetchScalarGridSpec(**blocks, **shared)}
    call = pl.pallas_call(
        traced,
        **blocks,
        out_shape=list(outputs),
        compiler_params=params,
        interpret=bool(interpreted),
        name=name,
    )
    return call(*arrays)


def load(reference, index, mask=None, fill=0.0) -> jax.Array:
    """reference[index], and `fill` where `mask` is False; masked elements are not read on a GPU."""
    if mask is None:
        return reference[index]
    if _masked.get():
        return _triton().load(reference.at[index], mask=mask, other=fill)
    return jnp.where(mask, reference[index], jnp.asarray(fill, reference.dtype))


def store(reference, index, value, mask=None):
    """reference[index] = value where `mask` is True.

    On a TPU the mask may hide only what lies outside the array, which is never copied back.
    """
    value = value.astype(reference.dtype)
    if mask is not None and _masked.get():
        _triton().store(reference.at[index], value, mask=mask)
    else:
        reference[index] = value


def dot(a: jax.Array, b: jax.Array, contract: tuple[int, int] = (1, 0)) -> jax.Array:
    """Product of two matrices over axis contract[0] of a and contract[1] of b, summed in float32.

    float32 operands are multiplied as float32, not as TF32; integers are summed in int32.
    """
    exact = a.dtype == jnp.float32
    whole = jnp.issubdtype(a.dtype, jnp.integer)
    return jax.lax.dot_general(
        a,
        b,
        (((contract[0],), (contract[1],)), ((), ())),
        precision=jax.lax.Precision.HIGHEST if exact else None,
        preferred_element_type=jnp.int32 if whole else jnp.float32,
    )


def scalars(shape: tuple[int | None, ...], index_map: Callable, backend: str) -> pl.BlockSpec:
    """Block of numbers that steer a program, such as the bounds of a loop: in SMEM on a TPU."""
    on_tpu = backend.startswith("tpu")
    return Block(shape, index_map, **({"memory_space": _tpu().SMEM} if on_tpu else {}))


def part(i, size: int):
    """Slice i * size : (i + 1) * size of a reference's axis."""
    return pl.ds(i * size if isinstance(i, int) else pl.multiple_of(i * size, size), size)


def one(i):
    """Slice i : i + 1, which keeps the axis."""
    return pl.ds(i, 1)


def fence(backend: str):
    """On a GPU, the threads of a program wait for each other: what one wrote, all can read."""
    if backend == "triton":
        _triton().debug_barrier()


def iota(shape: tuple[int, ...], axis: int) -> jax.Array:
    """Indices along `axis`, int32."""
    return jax.lax.broadcasted_iota(jnp.int32, shape, axis)


def program_id(axis: int) -> jax.Array:
    """Index of this program along an axis of the grid. Index maps receive it as an argument."""
    return _moved(pl.program_id(axis), _grid.get()[axis])


def step_id() -> jax.Array:
    """Index of this step of the program, on a TPU."""
    return pl.program_id(len(_grid.get()))


@contextlib.contextmanager
def permuted() -> Iterator[None]:
    """Programs traced inside run in another order: step i runs program 7 i + 1 modulo n.

    Along an axis whose length n is a multiple of 7 the order is reversed.
    """
    token = _in_order.set(False)
    try:
        yield
    finally:
        _in_order.reset(token)


def _tpu():  # imported when a kernel runs: the two take 0.3 s, which the reference does not need
    from jax.experimental.pallas import tpu

    return tpu


def _triton():
    from jax.experimental.pallas import triton

    return triton


def _moved(i, n: int):
    if _in_order.get():
        return i
    return (7 * i + 1) % n if n % 7 else n - 1 - i


def _visited(block: pl.BlockSpec, grid: tuple[int, ...]) -> pl.BlockSpec:
    """The block with its index map in the order of `permuted`."""
    if _in_order.get():
        return block
    moved = lambda *ids: block.index_map(*map(_moved, ids, grid), *ids[len(grid) :])
    return Block(block.block_shape, moved, memory_space=block.memory_space)
