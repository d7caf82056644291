"""Compiles training steps for 8 H200 GPUs on a CPU and prints their collectives and memory.

    make h200        installs XLA's CUDA compiler (without driver, Python 3.12 or newer), runs this

A model of 130M parameters is compiled for four meshes, Llama 3 8B for `fsdp=8`. A program that XLA
cannot compile for these GPUs, or without collectives, fails.
"""

import dataclasses
import os
import re
import sys
import time
from collections import Counter

os.environ["JAX_SKIP_CUDA_CONSTRAINTS_CHECK"] = "1"

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import topologies
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from panorax.configs.lm import llama, llama3_8b

from panorax.engine import plan
from panorax.engine.run import with_shardings
from panorax.lm.language_model import system
from panorax.nets.decoders.llama import Model
from panorax.parallel.sharding import MESH_AXES, RULES, mesh_sizes, placement

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
COLLECTIVE = re.compile(
    r"= \S.*? (all-gather|all-reduce|reduce-scatter|all-to-all|collective-permute)(?:-start)?\("
)


def compiled_step(cfg, mesh: str, devices):
    """The training step compiled for these devices, and its plan."""
    sizes = mesh_sizes(mesh)
    device_mesh = Mesh(
        np.array(devices).reshape(tuple(sizes.values())),
        MESH_AXES,
        axis_types=(AxisType.Auto,) * len(MESH_AXES),
    )
    trained = system(cfg)
    key = jax.eval_shape(lambda: jax.random.key(0))
    state = jax.eval_shape(trained.init_state, key)
    place = placement(trained, state, device_mesh)
    rows = NamedSharding(device_mesh, PartitionSpec(RULES["batch"]))
    batch = jax.ShapeDtypeStruct(trained.batch.shape, jnp.int32, sharding=rows)
    key = jax.ShapeDtypeStruct(key.shape, key.dtype, sharding=place.replicated)
    with jax.set_mesh(device_mesh):
        step = jax.jit(
            trained.train_step, donate_argnums=0, out_shardings=(place.state, place.replicated)
        )
        program = step.lower(with_shardings(state, place.state), batch, key).compile()
    return program, plan.plan(trained, sizes)


def main() -> int:
    jax.config.update("jax_platforms", "cpu")
    devices = topologies.get_topology_desc(
        platform="cuda", target_config=H200, topology="1x1x8"
    ).devices
    model = Model(
        vocab=32_000,
        d_model=1024,
        n_layers=8,
        n_heads=16,
        n_kv_heads=8,
        d_ff=2816,
        dtype="bfloat16",
        remat="layers",
    )
    small = dataclasses.replace(
        llama.get_config(), model=model, batch=32, context=1024, stride=1024
    )
    large = dataclasses.replace(
        llama3_8b.get_config(), batch=8, context=2048, stride=2048, accumulate=1
    )
    for name, cfg, mesh in (
        *(("130M", small, mesh) for mesh in ("data=8", "fsdp=8", "fsdp=2,tensor=4", "tensor=8")),
        ("8B", large, "fsdp=8"),
    ):
        before = time.perf_counter()
        program, planned = compiled_step(cfg, mesh, devices)
        memory = program.memory_analysis()
        counted = Counter(COLLECTIVE.findall(program.as_text()))
        state = sum(planned[part] for part in ("parameters", "optimizer", "extra"))
        temporary = planned["gradients"] + planned["activations"]
        giga = lambda x: f"{x / 1e9:.2f} G"
        print(
            f"{name:5} {mesh:16} {time.perf_counter() - before:5.1f} s; bytes per GPU: "
            f"state {giga(memory.argument_size_in_bytes)} (plan {giga(state)}), "
            f"temporaries {giga(memory.temp_size_in_bytes)} (plan {giga(temporary)}); "
            f"{dict(counted)}",
            flush=True,
        )
        if not counted:
            print("the program of 8 devices has no collectives")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
