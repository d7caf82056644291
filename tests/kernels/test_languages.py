"""The kernels in OpenAI Triton, CUDA C++ and Numba, as far as a machine without a GPU runs them."""

import ast
import ctypes
import importlib.util
import os
import shutil
import subprocess
import sys
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pallas_kernels import cuda
from pallas_kernels.softmax import softmax
from pallas_kernels.vector_add import vector_add

ROOT = Path(__file__).resolve().parents[2]
X = np.arange(6, dtype=np.float32).reshape(2, 3)


def python(program, **environment):
    """Runs a file of this folder in a process of its own, which the variables configure."""
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name(program)],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def needs(*packages):
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{' and '.join(missing)} not installed")


@needs("triton")
def test_the_triton_kernels_are_right_and_compile(tmp_path):
    python("triton_values.py", TRITON_INTERPRET="1")
    python("triton_cubin.py", TRITON_CACHE_DIR=str(tmp_path))


@needs("jax_triton", "jax_cuda13_plugin")
def test_jax_triton_compiles_and_lowers_the_calls():
    python("triton_lowered.py")


@needs("numba")
def test_the_numba_kernel_is_right_in_the_simulator():
    python("numba_values.py", NUMBA_ENABLE_CUDASIM="1")


@pytest.mark.skipif(importlib.util.find_spec("numba") is not None, reason="numba is installed")
def test_without_numba_its_kernel_names_the_extra():
    with pytest.raises(ImportError, match=r"numba is not installed .*pip install 'panorax\[numba]"):
        importlib.import_module("pallas_kernels.vector_add.numba_kernel")


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")
def test_the_cuda_library_compiles_and_has_a_handler_for_each_operation(tmp_path, monkeypatch):
    monkeypatch.setattr(cuda, "ARCHITECTURES", ("90",))
    assert cuda.build(tmp_path / "library.so") is None
    library = ctypes.CDLL(str(tmp_path / "library.so"))
    assert library.softmax and library.vector_add
    assert {source.stem for source in cuda.SOURCES} == {"softmax", "vector_add"}


def test_without_nvcc_the_build_says_so(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert cuda.build() == "no nvcc on PATH; it comes with NVIDIA's CUDA toolkit 12 or newer"
    done = subprocess.run(
        [sys.executable, "-m", "pallas_kernels.cuda"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1 and done.stderr.startswith("error: no nvcc on PATH")


def test_a_source_that_nvcc_refuses_is_shown(monkeypatch, tmp_path):
    compiler = tmp_path / "nvcc"
    compiler.write_text("#!/bin/sh\necho 'softmax.cu(3): error' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert cuda.build(tmp_path / "library.so") == "nvcc failed:\nsoftmax.cu(3): error"


CALLS = [
    pytest.param(lambda name: vector_add(X, X, name), id="vector_add"),
    pytest.param(lambda name: softmax(X, name), id="softmax"),
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", ["jax_triton", "cuda_ffi"])
def test_without_a_gpu_the_call_is_refused(call, name):
    with pytest.raises(NotImplementedError, match=f"{name} runs on a GPU, not on cpu"):
        call(name)


@pytest.mark.parametrize("call", CALLS)
def test_without_the_library_or_jax_triton_the_call_says_how_to_get_it(call, monkeypatch, tmp_path):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(cuda, "LIBRARY", tmp_path / "libpallas_kernels.so")
    with pytest.raises(NotImplementedError, match="run python -m pallas_kernels.cuda"):
        call("cuda_ffi")
    monkeypatch.setitem(sys.modules, "jax_triton", None)
    with pytest.raises(NotImplementedError, match=r"pip install 'panorax\[gpu]'"):
        call("jax_triton")


def test_cuda_is_float32_only():
    with pytest.raises(NotImplementedError, match="computes in float32, not in bfloat16"):
        softmax(jnp.ones((2, 3), jnp.bfloat16), "cuda_ffi")


@pytest.mark.parametrize("operation, arrays", [("vector_add", 2), ("softmax", 1)])
def test_the_cuda_call_lowers_to_its_handler(operation, arrays):
    call = lambda *xs: cuda.target(operation, *xs)
    lowered = jax.jit(jax.vmap(call)).trace(*[X] * arrays).lower(lowering_platforms=("cuda",))
    assert f"@pallas_kernels.{operation}(" in lowered.as_text()


@pytest.mark.parametrize("keyword", ["out_type", "out_shape"])
def test_jax_triton_is_called_in_its_old_and_new_form(keyword, monkeypatch):
    """out_shape until jax-triton 0.3, out_type from 0.4 on."""
    calls = []
    space = {"calls": calls}
    exec(
        f"def triton_call(*arrays, kernel, {keyword}, grid, num_warps=4, **constants):\n"
        f"    calls.append((kernel, {keyword}, grid, num_warps, constants))\n"
        f"    return arrays[0]",
        space,
    )
    for name, module in {
        "jax_triton": types.SimpleNamespace(triton_call=space["triton_call"]),
        "pallas_kernels.softmax.triton_kernel": types.SimpleNamespace(softmax="softmax"),
        "pallas_kernels.vector_add.triton_kernel": types.SimpleNamespace(vector_add="vector_add"),
    }.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    x = jnp.ones((3, 700))
    softmax(x, "jax_triton")
    vector_add(x, x, "jax_triton")
    shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
    assert calls == [
        ("softmax", shape, (3,), 4, {"D": 700, "SIZE": 1024}),
        ("vector_add", shape, (3,), 4, {"N": 2100, "SIZE": 1024}),
    ]


@pytest.mark.parametrize("name", ["softmax", "vector_add"])
def test_a_triton_kernel_takes_the_constants_that_its_call_passes(name):
    tree = ast.parse((ROOT / "pallas_kernels" / name / "triton_kernel.py").read_text())
    [kernel] = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    constants = {"softmax": ["D", "SIZE"], "vector_add": ["N", "SIZE"]}[name]
    assert kernel.name == name
    assert [arg.arg for arg in kernel.args.args][-2:] == constants


def test_arrays_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"one shape and dtype; got \(2, 3\) float32 and \(3,\)"):
        vector_add(X, X[0])
