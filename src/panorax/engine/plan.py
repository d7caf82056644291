"""Plans a system on a cluster: bytes per device and time per step, computed from shapes alone.

Nothing is allocated or compiled. Parameters, optimiser state and extra state are exact: each leaf's
shard on the mesh. Activations are the peak memory of the traced training step on one device's share
of the batch (`maths/cost.py`), without gradients. With tensor parallelism the step is traced on the
parameters of one device, as in Megatron. Fully sharded parameters add one gathered layer and its
gradient.

Activations and gradients are 0.7 to 1.3 times XLA's temporary memory for models that are mostly
matrix products, and about half of it for reinforcement learning.
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
    """An accelerator, as specified by its vendor."""

    memory: float
    """size of the memory, in bytes"""
    peak: float
    """peak rate of dense bf16 matrix products, in operations per second"""


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
    """Bytes per device by kind of memory, and `flops`, the operations of a step on all devices.

    sizes: the size of every mesh axis. Raises UserError if the mesh does not divide the batch.
    """
    key = jax.eval_shape(lambda: jax.random.key(0))
    state = jax.eval_shape(system.init_state, key)
    ways = sizes["data"] * sizes["fsdp"]
    if any(x.shape[0] % ways for x in jax.tree.leaves(system.batch)):
        raise UserError(
            f"the mesh splits a batch {ways} ways, which does not divide its rows; "
            "change batch or the mesh"
        )
    shard = _shard(state, placement(system, state, planned_mesh(sizes)).state)
    tensor_only = placement(system, state, planned_mesh(sizes | {"data": 1, "fsdp": 1})).state
    batch = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((x.shape[0] // ways, *x.shape[1:]), x.dtype), system.batch
    )
    try:
        traced = _shard(state, tensor_only)
        program = jax.make_jaxpr(system.train_step)(traced, batch, key)
    except (TypeError, ValueError):
        # The model takes sizes from its config, so it cannot be traced on shards. Whole parameters
        # bound the peak from above.
        traced = state
        program = jax.make_jaxpr(system.train_step)(traced, batch, key)
    activations = max(cost.peak_bytes(program) - _bytes(traced.params), 0)
    if not jax.tree.leaves(batch):  # the system makes its own data, on all devices
        activations /= ways
    if sizes["fsdp"] > 1:
        activations += 2 * _bytes(_largest_layer(traced.params, system.spec))
    total = jax.make_jaxpr(system.train_step)(state, system.batch, key)
    return {
        "parameters": _bytes(shard.params),
        "optimizer": _bytes(shard.opt),
        "extra": _bytes(shard.extra),
        "gradients": _bytes(shard.params),
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
    """The plan for `devices` chips: memory, whether it fits, and time per step.

    mesh: text such as `data=2,fsdp=4`; "" means `fsdp=DEVICES`.
    memory: bytes per device; None for the memory of the chip.
    utilisation: share of the chip's peak that a step reaches.
    Raises UserError if the mesh does not have `devices` devices or does not divide the batch.
    """
    sizes = mesh_sizes(mesh or f"fsdp={devices}")
    if math.prod(sizes.values()) != devices:
        raise UserError(
            f"mesh {mesh} has {math.prod(sizes.values())} devices, --devices is {devices}"
        )
    needs = plan(system, sizes)
    chip, flops = CHIPS[chip_name], needs.pop("flops")
    memory = memory or chip.memory
    total = sum(needs.values())
    seconds = flops / (devices * chip.peak * utilisation)
    axes = [f"{axis}={sizes[axis]}" for axis in MESH_AXES if sizes[axis] > 1]
    return {
        "config": name,
        "devices": devices,
        "chip": chip_name,
        "mesh": ",".join(axes) or "data=1",
        "bytes_per_device": needs | {"total": total},
        "memory": memory,
        "fits": total <= memory,
        "flops_per_step": flops,
        "seconds_per_step": seconds,
        "utilisation": utilisation,
        "per_second": {name: amount / seconds for name, amount in system.per_step.items()},
        "footprint": system.footprint(),
    }


def shown(planned: dict) -> str:
    """The plan of `report` as text for the terminal."""
    fits = "fits" if planned["fits"] else "DOES NOT FIT"
    parts = {name: x for name, x in planned["bytes_per_device"].items() if x}
    flops, seconds = planned["flops_per_step"], planned["seconds_per_step"]
    rows = [
        f"{planned['config']} on {planned['devices']} x {planned['chip']}, mesh {planned['mesh']}",
        "",
        "bytes per device",
        *(f"  {name:14}{_si(x):>10}B" for name, x in parts.items()),
        f"  {'memory':14}{_si(planned['memory']):>10}B: {fits}",
        "",
        f"one step        {_si(flops):>10}FLOP in matrix products, with recomputation",
        f"{seconds:>26.4g} s at {planned['utilisation']:.0%} of the peak",
    ]
    for name, x in planned["per_second"].items():
        rows.append(f"{_si(x):>26}{name.replace('_', ' ')}/s")
    for name, x in planned["footprint"].items():
        rows.append(f"{_si(x):>26}B  {name.replace('_', ' ')}")
    return "\n".join(rows)


def _shard(tree: State, shardings: State) -> State:
    """The shape of every leaf's shard on one device."""
    part = lambda sharding, sub: jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(sharding.shard_shape(x.shape), x.dtype), sub
    )
    return jax.tree.map(
        part, shardings, tree, is_leaf=lambda x: isinstance(x, jax.sharding.Sharding)
    )


def _largest_layer(params, spec) -> list[jax.ShapeDtypeStruct]:
    """The arrays that `fsdp` gathers at a time: one layer if layers are stacked, else the largest.

    `params` gives shapes, `spec` the axes.
    """
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
    """Three digits and a decimal prefix, such as `1.23 G`."""
    prefixes = ("", "k", "M", "G", "T", "P", "E", "Z", "Y")
    power = min(max(int(math.log10(x) // 3), 0), len(prefixes) - 1) if x >= 1 else 0
    return f"{x / 1000**power:.3g} {prefixes[power]}"
