"""What a system would need on a cluster: bytes per device and time per step, from its shapes alone; nothing is allocated or compiled.

Parameters, optimizer and what else the state carries are exact: every leaf's shard on the mesh. Activations are the peak of the training step
on one device's share of the batch, read off the program (`core/cost.py`), gradients apart. With tensor parallelism the step is traced on the
parameters that one device holds, as Megatron runs it; fully sharded parameters add a layer gathered for use and its gradient. Beside what XLA
allocates this is 0.7 to 1.3 for models that are mostly matrix products, and about half for reinforcement learning.
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from panorax.core.errors import UserError
from panorax.core.spec import is_parameter
from panorax.core.state import State, System
from panorax.maths import cost
from panorax.parallel.sharding import MESH_AXES, mesh_sizes, placement, planned_mesh


@dataclass(frozen=True)
class Chip:
    """Memory in bytes, and the peak of dense bf16 matrix products in operations per second, as its maker says."""

    memory: float
    peak: float


CHIPS = {
    "a100": Chip(80e9, 312e12),
    "h100": Chip(80e9, 989e12),
    "h200": Chip(141e9, 989e12),
    "tpu-v4": Chip(32e9, 275e12),
    "tpu-v5e": Chip(16e9, 197e12),
    "tpu-v5p": Chip(95e9, 459e12),
    "tpu-v6e": Chip(32e9, 918e12),
}


def plan(system: System, sizes: dict[str, int]) -> dict[str, float]:
    """Bytes per device by what they hold, and operations of one step on all devices, on a mesh of these sizes."""
    key = jax.eval_shape(lambda: jax.random.key(0))
    state = jax.eval_shape(system.init_state, key)
    ways = sizes["data"] * sizes["fsdp"]
    if any(x.shape[0] % ways for x in jax.tree.leaves(system.batch)):
        raise UserError(
            f"the mesh splits a batch {ways} ways, which does not divide its rows; change batch or the mesh"
        )
    here = _shard(state, placement(system, state, planned_mesh(sizes)).state)
    only_tensor = placement(system, state, planned_mesh(sizes | {"data": 1, "fsdp": 1})).state
    batch = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((x.shape[0] // ways, *x.shape[1:]), x.dtype), system.batch
    )
    try:
        held = _shard(state, only_tensor)
        program = jax.make_jaxpr(system.train_step)(held, batch, key)
    except (
        TypeError,
        ValueError,
    ):  # a model that takes sizes from its config cannot be run on a part of its parameters: an upper bound, then
        held = state
        program = jax.make_jaxpr(system.train_step)(held, batch, key)
    activations = max(cost.peak_bytes(program) - _bytes(held.params), 0) / (
        1 if jax.tree.leaves(batch) else ways
    )
    if sizes["fsdp"] > 1:
        activations += 2 * _bytes(_largest_layer(held.params, system.spec))
    total = jax.make_jaxpr(system.train_step)(state, system.batch, key)
    return {
        "parameters": _bytes(here.params),
        "optimizer": _bytes(here.opt),
        "extra": _bytes(here.extra),
        "gradients": _bytes(here.params),
        "activations": activations,
        "flops": cost.flops(total),
    }


def report(
    name: str,
    system: System,
    devices: int,
    mesh: str,
    chip_name: str,
    memory: float | None,
    utilisation: float,
) -> dict:
    """The plan for `devices` of a chip, with what follows from it: whether it fits, seconds per step, and a language model's cache."""
    sizes = mesh_sizes(mesh or f"fsdp={devices}")
    if math.prod(sizes.values()) != devices:
        raise UserError(f"mesh {mesh} is of {math.prod(sizes.values())} devices, not {devices}")
    needs = plan(system, sizes)
    chip, flops = CHIPS[chip_name], needs.pop("flops")
    said = {
        "config": name,
        "devices": devices,
        "chip": chip_name,
        "mesh": ",".join(f"{axis}={sizes[axis]}" for axis in MESH_AXES if sizes[axis] > 1)
        or "data=1",
        "bytes_per_device": needs | {"total": sum(needs.values())},
        "memory": memory or chip.memory,
        "fits": sum(needs.values()) <= (memory or chip.memory),
        "flops_per_step": flops,
        "seconds_per_step": flops / (devices * chip.peak * utilisation),
        "utilisation": utilisation,
    }
    said["per_second"] = {
        name: amount / said["seconds_per_step"] for name, amount in system.per_step.items()
    }
    said["footprint"] = system.footprint()
    return said


def shown(said: dict) -> str:
    """A plan as a table."""
    rows = [
        f"{said['config']} on {said['devices']} x {said['chip']}, mesh {said['mesh']}",
        "",
        "bytes per device",
    ]
    rows += [f"  {name:14}{_si(x):>10}B" for name, x in said["bytes_per_device"].items() if x]
    rows += [
        f"  of            {_si(said['memory']):>10}B: {'fits' if said['fits'] else 'DOES NOT FIT'}",
        "",
    ]
    rows += [
        f"a step          {_si(said['flops_per_step']):>10}FLOP in matrix products, recomputation included"
    ]
    rows += [
        f"                {said['seconds_per_step']:>10.4g} s at {said['utilisation']:.0%} of the peak"
    ]
    rows += [
        f"                {_si(x):>10}{name.replace('_', ' ')}/s"
        for name, x in said["per_second"].items()
    ]
    rows += [f"{_si(x):>26}B  {name.replace('_', ' ')}" for name, x in said["footprint"].items()]
    return "\n".join(rows)


def _shard(tree: State, shardings: State) -> State:
    """The part of every leaf that one device holds."""
    part = lambda sharding, sub: jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(sharding.shard_shape(x.shape), x.dtype), sub
    )
    return jax.tree.map(
        part, shardings, tree, is_leaf=lambda x: isinstance(x, jax.sharding.Sharding)
    )


def _largest_layer(params, spec) -> list[jax.ShapeDtypeStruct]:
    """What is gathered at a time: one layer of the parameters that are stacked, or the largest parameter if none is."""
    declared = jax.tree.leaves(spec, is_leaf=is_parameter)
    stacked = [
        x
        for x, p in zip(jax.tree.leaves(params), declared, strict=True)
        if p.axes[:1] == ("layers",)
    ]
    if stacked:
        return [jax.ShapeDtypeStruct(x.shape[1:], x.dtype) for x in stacked]
    return [max(jax.tree.leaves(params), key=lambda x: x.size)]


def _bytes(tree) -> int:
    return sum(
        x.size * jnp.dtype(x.dtype).itemsize
        for x in jax.tree.leaves(tree)
        if not jax.dtypes.issubdtype(x.dtype, jax.dtypes.extended)
    )


def _si(x: float) -> str:
    """Three digits and a decimal prefix, as `1.23 G`."""
    prefixes = ("", "k", "M", "G", "T", "P", "E", "Z", "Y")
    power = min(max(int(math.log10(x) // 3), 0), len(prefixes) - 1) if x >= 1 else 0
    return f"{x / 1000**power:.3g} {prefixes[power]}"
