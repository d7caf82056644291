"""An H200 GPU as XLA's compiler sees it, on a machine without one."""

import importlib.util
import os
import sys
from pathlib import Path

import jax
from jax.experimental import topologies

H200 = """gpu_device_info {
  name: "NVIDIA H200" device_vendor: "NVIDIA Corporation"
  cuda_compute_capability { major: 9 feature_extension: ACCELERATED_FEATURES }
  core_count: 132 fpus_per_core: 128 clock_rate_ghz: 1.98
  memory_bandwidth: 4800000000000 l2_cache_size: 52428800 device_memory_size: 151397597184
  threads_per_warp: 32 threads_per_block_limit: 1024 threads_per_core_limit: 2048
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  shared_memory_per_block: 49152 shared_memory_per_core: 233472
  shared_memory_per_block_optin: 232448
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  thread_dim_limit_x: 1024 thread_dim_limit_y: 1024 thread_dim_limit_z: 64
  device_address_bits: 64 driver_version: "13.0.0" runtime_version: "13.0.0"
  compile_time_toolkit_version: "13.0.0" dnn_version: "9.10.0"
}
platform_name: "CUDA" dnn_version_info { major: 9 minor: 10 }
device_description_str: "NVIDIA H200"
"""


def h200(n: int) -> list:
    """n H200 GPUs to compile for. Call it before any jax computation.

    Exits with one line without XLA's compiler for CUDA.
    """
    if importlib.util.find_spec("jax_cuda13_plugin") is None:
        sys.exit(
            "XLA's compiler for CUDA is not installed; "
            "`make h200` and `make gpu-check` install it, with PYTHON=python3.12 or newer"
        )
    ptxas = Path(jax.__file__).parents[1] / "nvidia" / "cu13" / "bin"
    os.environ["PATH"] = f"{ptxas}{os.pathsep}{os.environ['PATH']}"
    os.environ["JAX_SKIP_CUDA_CONSTRAINTS_CHECK"] = "1"
    jax.config.update("jax_platforms", "cpu")
    return topologies.get_topology_desc(
        platform="cuda", target_config=H200, topology=f"1x1x{n}"
    ).devices
