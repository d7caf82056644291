"""Run by test_languages.py and `make gpu-check`: jax-triton compiles the calls for an H200.

It needs XLA's plugin for CUDA, whose library writes the call, but no GPU and no driver: the kernel
of a lowered call is PTX, which the first run on a GPU assembles.
"""

import functools
import re
import zlib

import jax
import jax.numpy as jnp
import jax_triton
from jax.sharding import AbstractMesh, use_abstract_mesh

from pallas_kernels import proof
from pallas_kernels.softmax import softmax
from pallas_kernels.vector_add import vector_add

CALL = re.compile(r'@triton_kernel_call\w*\(.*?(?:opaque|backend_config) = "([^"]+)"')
jax.config.update("jax_platforms", "cpu")
jax.default_backend = lambda: "gpu"  # the calls refuse any other
jax_triton.triton_call = functools.partial(jax_triton.triton_call, compute_capability=90)


def lowered(function, *arrays) -> str:
    with use_abstract_mesh(AbstractMesh((1,), ("_",), abstract_device=proof.GPU)):
        return jax.jit(function).trace(*arrays).lower(lowering_platforms=("cuda",)).as_text()


def assert_calls(name: str, program: str):
    (call,) = CALL.findall(program)
    ptx = zlib.decompress(proof.unescaped(call))
    for line in rb"\.target sm_90a", rb"\.entry %s\(" % name.encode(), rb"\.reqntid 128\b":
        assert re.search(line, ptx), (name, line)
    print(f"jax-triton compiled {name} for an H200")


x = jax.ShapeDtypeStruct((32, 700), jnp.bfloat16)
assert_calls("vector_add", lowered(lambda x: vector_add(x, x, "jax_triton"), x))
gradient = lowered(jax.grad(lambda x: jnp.sum(softmax(x, "jax_triton"))), x)
assert_calls("softmax", gradient)
assert proof.CALLS["triton"] in gradient, "the gradient of softmax is the kernel in Pallas"
