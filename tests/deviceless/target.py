"""An H200 GPU and a TPU as XLA's compiler sees them, on a machine without one."""

import functools
import importlib.util
import os
import sys
from pathlib import Path

import jax
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from pallas_kernels.operation import Case, Operation
from pallas_kernels.proof import with_gradients

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


def tpu() -> list:
    """Four TPUs v5e to compile for. Call it before any jax computation.

    Exits with one line without XLA's compiler for TPU.
    """
    if importlib.util.find_spec("libtpu") is None:
        sys.exit("XLA's compiler for TPU is not installed; `make tpu-check` installs it")
    here = {"TPU_SKIP_MDS_QUERY": "1", "TPU_WORKER_HOSTNAMES": "localhost"}
    os.environ |= here | {"TPU_ACCELERATOR_TYPE": "v5litepod-4"}
    jax.config.update("jax_platforms", "cpu")
    return topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x2").devices


def lowered(operation: Operation, case: Case, implementation: str, device):
    """Value and gradients of a case, lowered for a device that is not here."""
    run = functools.partial(operation.run, implementation=implementation)

    def call(arguments, cotangents):
        return with_gradients(run, operation, case, arguments, lambda _: cotangents)[:2]

    mesh = Mesh(np.array([device]), ("_",))
    place = NamedSharding(mesh, PartitionSpec())
    placed = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place)
    arguments = jax.eval_shape(lambda: case.arguments(jax.random.key(0)))
    results = jax.eval_shape(functools.partial(operation.reference, **case.options), *arguments)
    with jax.set_mesh(mesh):
        return jax.jit(call).lower(*jax.tree.map(placed, (arguments, results)))
