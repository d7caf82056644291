"""Softmax in OpenAI Triton: a program computes one row, in registers."""

import triton
import triton.language as tl


@triton.jit
def softmax(x, y, D: tl.constexpr, SIZE: tl.constexpr):
    """y = softmax(x) along rows of D elements; SIZE is the next power of two."""
    i = tl.arange(0, SIZE)
    inside, start = i < D, tl.program_id(0).to(tl.int64) * D
    row = tl.load(x + start + i, mask=inside, other=-float("inf")).to(tl.float32)
    e = tl.exp(row - tl.max(row, axis=0))
    tl.store(y + start + i, (e / tl.sum(e, axis=0)).to(y.dtype.element_ty), mask=inside)
