"""How a kernel in OpenAI Triton starts: by jax-triton, which is imported at the first call.

`pip install 'panorax[gpu]'` installs it. A folder with such a kernel has a file `triton_kernel.py`.
"""

import importlib
import inspect

import jax


def call(operation: str, arrays: tuple[jax.Array, ...], *, grid: int, **constants) -> jax.Array:
    """Runs the kernel `operation(*arrays, result, **constants)` of `<operation>/triton_kernel.py`.

    The result has the shape and dtype of the first array.  grid: number of programs.
    constants: of the kernel, and `num_warps` of a program.
    Raises NotImplementedError without an NVIDIA GPU or without jax-triton.
    """
    if jax.default_backend() != "gpu":
        raise NotImplementedError(f"jax_triton runs on a GPU, not on {jax.default_backend()}")
    try:
        import jax_triton
    except ImportError as error:
        raise NotImplementedError(
            f"jax_triton is not installed ({error}); pip install 'panorax[gpu]'"
        ) from error
    kernel = getattr(
        importlib.import_module(f"pallas_kernels.{operation}.triton_kernel"), operation
    )
    result = jax.ShapeDtypeStruct(arrays[0].shape, arrays[0].dtype)
    if result.size == 0:
        return arrays[0]
    return jax_triton.triton_call(
        *arrays,
        kernel=kernel,
        grid=(grid,),
        **{_keyword(jax_triton.triton_call): result},
        **constants,
    )


def _keyword(triton_call) -> str:
    """Keyword of the result's shape: out_type from jax-triton 0.4 on, out_shape before."""
    return "out_type" if "out_type" in inspect.signature(triton_call).parameters else "out_shape"
