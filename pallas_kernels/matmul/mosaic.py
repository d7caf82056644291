"""Matrix product for Hopper in Mosaic GPU: copies by TMA, products by wgmma, in three warpgroups.

A block owns 128 x 256 results. Its memory warpgroup copies tiles of x and w to shared memory, four
steps ahead, by the tensor memory accelerator: one thread starts a copy of a whole tile, and no
register holds it. Two compute warpgroups each multiply x with half of the columns by wgmma, which
reads both operands from shared memory, and sum 128 x 128 results in registers. The epilogue goes
out through shared memory, in pieces of 64 x 64, while the next piece is computed.

The Triton kernel leaves all this to its compiler. Shared memory: 4 (128 + 256) 64 elements for
the operands, 2 x 2 pieces for the results, 224 KiB of 227 in bf16.
"""

import functools

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as gpu

from pallas_kernels.choice import require_hopper
from pallas_kernels.matmul.reference import ACTIVATIONS
from pallas_kernels.tiles import in_squares

M, N, K, STAGES, PIECE = 128, 256, 64, 4, 64
HALF = N // 2
"""columns of a compute warpgroup"""


def refuse(x, w, bias, residual):
    """Raises NotImplementedError, unless this kernel multiplies x and w, forward and backward."""
    require_hopper()
    sizes = (*x.shape, w.shape[1])
    if x.dtype not in (jnp.bfloat16, jnp.float16):
        raise NotImplementedError(f"wgmma multiplies bfloat16 and float16 here, not {x.dtype}")
    if sizes[0] % M or sizes[1] % N or sizes[2] % N or 0 in sizes:
        raise NotImplementedError(f"N, D, F are multiples of {M}, {N}, {N} here, not {sizes}")
    if bias is not None or residual is not None:
        raise NotImplementedError("the Mosaic kernel has neither bias nor residual")


def product(
    x: jax.Array,
    w: jax.Array,
    *,
    contract: tuple[int, int] = (1, 0),
    activation: str | None = None,
    keep: bool = False,
    interpret=None,
) -> list[jax.Array]:
    """[y], or [y, z] if `keep`: z = x w, y = activation(z), as `kernel.product`.

    interpret: parameters of jax's GPU interpreter, from jax 0.11 on.
    """
    length, high, wide = x.shape[contract[0]], x.shape[1 - contract[0]], w.shape[1 - contract[1]]
    rows, columns = high // M, wide // N
    result = jax.ShapeDtypeStruct((high, wide), x.dtype)
    swizzled = (gpu.TilingTransform((8, 64)), gpu.SwizzleTransform(128))

    def operand(size: int, axis: int):
        """Tile of an operand in shared memory; `axis` is the contracted one."""
        shape, index = ((size, K), lambda k: (0, k)) if axis else ((K, size), lambda k: (k, 0))
        return gpu.BlockSpec(shape, index, transforms=swizzled, memory_space=gpu.SMEM)

    def matmul(x_hbm, w_hbm, *rest):
        *outputs, pieces = rest
        half = jax.lax.axis_index("warpgroup")
        m, n = in_squares(jax.lax.axis_index("tile"), rows, columns)
        of_m, of_n = pl.ds(m * M, M), pl.ds(n * N, N)

        def multiply(_, x_tile, w_tile, sums):
            mine = pl.ds(half * HALF, HALF)
            a = x_tile if contract[0] else x_tile.transpose((1, 0))
            b = w_tile.at[mine].transpose((1, 0)) if contract[1] else w_tile.at[:, mine]
            gpu.wgmma(sums, a, b)
            gpu.wgmma_wait(0)
            return sums

        def store(value, output):
            for i in range(M // PIECE):
                for j in range(HALF // PIECE):
                    piece = pieces.at[half, (i * HALF // PIECE + j) % 2]
                    gpu.wait_smem_to_gmem(1, wait_read_only=True)
                    down, across = i * PIECE, j * PIECE
                    piece[...] = value[down : down + PIECE, across : across + PIECE]
                    gpu.commit_smem()
                    place = pl.ds(m * M + down, PIECE), pl.ds(n * N + half * HALF + across, PIECE)
                    gpu.copy_smem_to_gmem(piece, output.at[place])

        def compute(steps):
            @functools.partial(pl.run_scoped, sums=gpu.ACC((M, HALF), jnp.float32))
            def _(sums):
                steps(sums)
                z = sums[...]
                store(ACTIVATIONS[activation](z).astype(x.dtype), outputs[0])
                if keep:
                    store(z.astype(x.dtype), outputs[1])
                gpu.wait_smem_to_gmem(0)

        gpu.emit_pipeline_warp_specialized(
            multiply,
            grid=(length // K,),
            in_specs=[operand(M, contract[0]), operand(N, contract[1])],
            max_concurrent_steps=STAGES,
            wg_axis="warpgroup",
            num_compute_wgs=2,
            memory_registers=40,
            compute_context=compute,
        )(
            x_hbm.at[of_m] if contract[0] else x_hbm.at[:, of_m],
            w_hbm.at[of_n] if contract[1] else w_hbm.at[:, of_n],
        )

    return gpu.kernel(
        matmul,
        out_type=[result, result] if keep else [result],
        scratch_types=[gpu.SMEM((2, 2, PIECE, PIECE), x.dtype, transforms=swizzled)],
        grid=(rows * columns,),
        grid_names=("tile",),
        num_threads=3,
        thread_name="warpgroup",
        compiler_params=gpu.CompilerParams(lowering_semantics=gpu.LoweringSemantics.Warpgroup),
        interpret=interpret,
    )(x, w)
