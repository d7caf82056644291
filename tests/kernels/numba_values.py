"""Run by test_languages.py with NUMBA_ENABLE_CUDASIM=1: values of the kernel in Numba."""

import numpy as np

from pallas_kernels.vector_add.numba_kernel import vector_add

x = np.random.default_rng(0).normal(size=1000).astype(np.float32)
np.testing.assert_array_equal(vector_add(x, x[::-1].copy()), x + x[::-1])
assert vector_add(x[:0], x[:0]).size == 0
for y in (x[:3], x.astype(np.float64)):
    try:
        vector_add(x, y)
    except ValueError as error:
        assert "vectors of one length and dtype; got (1000,) float32 and" in str(error)
    else:
        raise AssertionError("accepted")
