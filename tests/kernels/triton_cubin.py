"""Run by test_languages.py: compiles the kernels in Triton for an H100 or H200."""

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from pallas_kernels.softmax.triton_kernel import softmax
from pallas_kernels.vector_add.triton_kernel import vector_add

for kernel, pointers, constants in (
    (vector_add, ("x", "y", "z"), {"N": 2500, "SIZE": 1024}),
    (softmax, ("x", "y"), {"D": 77, "SIZE": 128}),
):
    types = dict.fromkeys(pointers, "*bf16") | dict.fromkeys(constants, "constexpr")
    source = ASTSource(kernel, types, constants)
    assert triton.compile(source, target=GPUTarget("cuda", 90, 32)).asm["cubin"]
