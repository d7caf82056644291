"""Compiles training steps for 8 H200 GPUs on a CPU and prints their collectives and memory.

    make h200        installs XLA's CUDA compiler (without driver, Python 3.12 or newer), runs this

A model of 130M parameters is compiled for four meshes, Llama 3 8B for `fsdp=8`. A program that XLA
cannot compile for these GPUs, or without collectives, fails.
"""

import dataclasses
import re
import sys
import time
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import target
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from panorax.configs.lm import llama, llama3_8b

from panorax.engine import plan
from panorax.engine.run import with_shardings
from panorax.lm.language_model import system
from panorax.nets.decoders.llama import Model
from panorax.parallel.sharding import MESH_AXES, RULES, mesh_sizes, placement

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
    devices = target.h200(8)
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
