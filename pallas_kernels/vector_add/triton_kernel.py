"""Vector addition in OpenAI Triton: a program adds SIZE elements."""

import triton
import triton.language as tl


@triton.jit
def vector_add(x, y, z, N: tl.constexpr, SIZE: tl.constexpr):
    """z = x + y; x, y and z point to N elements."""
    i = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    inside = i < N
    tl.store(z + i, tl.load(x + i, mask=inside) + tl.load(y + i, mask=inside), mask=inside)
