"""Run by test_languages.py with TRITON_INTERPRET=1: values of the kernels in Triton."""

import numpy as np

from pallas_kernels.softmax.triton_kernel import softmax
from pallas_kernels.vector_add.triton_kernel import vector_add


class Pointer:
    """A NumPy array as Triton's interpreter expects a torch tensor."""

    def __init__(self, array):
        self.array, self.dtype = array, f"torch.{array.dtype}"

    def untyped_storage(self):
        return self

    def set_(self, storage, *_):
        self.array = storage.array

    data_ptr = lambda self: self.array.ctypes.data
    new_empty = lambda self, *_, **__: Pointer(self.array)
    storage_offset = size = stride = lambda self: 0
    copy_ = lambda self, _: None
    cpu = untyped_storage


ROUNDING = 1e-5
"""float32, whose exponentials are those of NumPy"""
draw = np.random.default_rng(0).normal
x, y = draw(size=(2, 2500)).astype(np.float32)
z = np.full(2500, np.nan, np.float32)
vector_add[(3,)](*map(Pointer, (x, y, z)), N=2500, SIZE=1024)
np.testing.assert_array_equal(z, x + y)
x = draw(size=(5, 77)).astype(np.float32)
z = np.full_like(x, np.nan)
softmax[(5,)](*map(Pointer, (x, z)), D=77, SIZE=128)
e = np.exp(x - x.max(1, keepdims=True))
np.testing.assert_allclose(z, e / e.sum(1, keepdims=True), rtol=ROUNDING)
