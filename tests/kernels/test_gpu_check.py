"""What `make gpu-check` and `make tpu-check` do on a machine without their compilers."""

import importlib.util
import sys
from pathlib import Path

import pytest

DEVICELESS = Path(__file__).parents[1] / "deviceless"
THUNKS = """\
001: kCustomKernel [source       | next=002 (1)] paged grid: [1, 8, 33] threads: [128, 1, 1] \
 shared_memory: 38912 bytes
002: kCustomKernel [prev=001 (1) | sink ] fusion_2 grid: [64, 1, 1] threads: [32, 4, 1] \
 shared_memory: 0 bytes
003: kCopy [source | sink] kCopy
"""
MESSAGES = """\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'paged' for 'sm_90a'
ptxas info    : Function properties for paged
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 96 registers, used 1 barriers
ptxas info    : Compile time = 99.790 ms
ptxas info    : Compiling entry function 'fusion_2' for 'sm_90a'
ptxas info    : Function properties for fusion_2
    120 bytes stack frame, 120 bytes spill stores, 116 bytes spill loads
ptxas info    : Used 128 registers, used 1 barriers, 120 bytes cumulative stack size, 512 bytes smem
"""
MODULE = """\
    %13 = mgpu.init
    %81 = gpu.launch async [%13] blocks(%arg2, %arg3, %arg4) in (%arg8 = %c1, %arg9 = %c64, \
%arg10 = %c32) threads(%arg5, %arg6, %arg7) in (%arg11 = %c384, %arg12 = %c1, %arg13 = %c1) \
dynamic_shared_memory_size %c166976_i32 {
"""


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(DEVICELESS)
    spec = importlib.util.spec_from_file_location("gpu_check", DEVICELESS / "kernels.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.modules.pop("target")


def test_it_joins_launches_with_the_resources_of_their_kernels(script):
    paged, fusion = script.launches(THUNKS, script.assembled(MESSAGES))
    assert paged == {
        "kernel": "paged",
        "grid": [1, 8, 33],
        "threads": 128,
        "registers": 96,
        "spilled": 0,
        "shared": 38912,
    }
    assert fusion == {
        "kernel": "fusion_2",
        "grid": [64, 1, 1],
        "threads": 128,
        "registers": 128,
        "spilled": 236,
        "shared": 512,
    }


def test_a_kernel_that_ptxas_did_not_report_is_listed(script):
    (first, _) = script.launches(THUNKS, {})
    assert (first["registers"], first["spilled"], first["shared"]) == ("?", "?", 38912)


def test_mosaic_describes_its_launch_in_a_module_of_its_own(script):
    kernel = script.assembled(MESSAGES.partition("ptxas info    : Compile time")[0])
    assert script.mosaic_launch(MODULE, kernel) == {
        "kernel": "paged",
        "grid": [1, 64, 32],
        "threads": 384,
        "registers": 96,
        "spilled": 0,
        "shared": 166976,
    }


def test_kernels_that_spill_are_named(script):
    kernel = {"kernel": "fusion_2", "spilled": 236}
    rows = [{"case": "a", "kernels": [kernel]}, {"case": "b", "refused": "bias"}]
    assert list(script.spills(rows)) == ["fusion_2 spills 236 bytes: a"]
    kernel["spilled"] = 0
    assert not list(script.spills(rows))


@pytest.mark.skipif(
    importlib.util.find_spec("jax_cuda13_plugin") is not None, reason="the compiler is installed"
)
def test_without_the_compiler_it_ends_in_one_line(script, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["kernels.py"])
    with pytest.raises(SystemExit, match="^XLA's compiler for CUDA is not installed; `make h200`"):
        script.main()


@pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is not None, reason="the compiler is installed"
)
def test_without_the_compiler_for_tpu_it_ends_in_one_line(script):
    with pytest.raises(SystemExit, match="^XLA's compiler for TPU is not installed; `make tpu-"):
        script.target.tpu()
