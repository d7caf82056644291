"""Vector addition in Numba: Python compiled to a CUDA thread, for NumPy arrays.

    NUMBA_ENABLE_CUDASIM=1 python -c "
    import numpy as np
    from pallas_kernels.vector_add.numba_kernel import vector_add
    print(vector_add(np.arange(5.0), np.ones(5)))"

The variable starts Numba's simulator, which runs the threads on any machine. Without it, an NVIDIA
GPU and numba-cuda are needed. `pip install 'panorax[numba]'` installs Numba and numba-cuda.
"""

import numpy as np

try:
    from numba import cuda
except ImportError as error:
    raise ImportError(f"numba is not installed ({error}); pip install 'panorax[numba]'") from error

THREADS = 256  # of a block


@cuda.jit
def add(x, y, z):
    """The thread of element i writes z_i; threads past the end write nothing."""
    i = cuda.grid(1)
    if i < z.size:
        z[i] = x[i] + y[i]


def vector_add(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x + y of vectors (N,): copied to the GPU, added by one thread an element, copied back.

    Raises ValueError for arrays that are no vectors of one length and dtype.
    """
    if x.ndim != 1 or x.shape != y.shape or x.dtype != y.dtype:
        raise ValueError(
            f"x and y are vectors of one length and dtype; got {x.shape} {x.dtype} and "
            f"{y.shape} {y.dtype}"
        )
    if x.size == 0:
        return x.copy()
    on_gpu = cuda.to_device(x), cuda.to_device(y), cuda.device_array(x.shape, x.dtype)
    add[-(-x.size // THREADS), THREADS](*on_gpu)
    return on_gpu[2].copy_to_host()
