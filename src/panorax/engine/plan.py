"""Plans a system on a cluster: bytes per device and time per step, computed from shapes alone.

Nothing is allocated or compiled. Parameters, optimiser state and extra state are exact: each leaf's
shard on the mesh. Gradients and activations are the arrays at the peak of the traced training step
on one device's share of the batch (`maths/cost.py`): an array of the shape of a parameter counts as
a gradient and is split like that parameter, any other array is an activation. With tensor
parallelism the step is traced on the parameters of one device, as in Megatron; its partial sums are
the activations that the devices all-reduce. Fully sharded parameters add one gathered layer.

Gradients, activations and the gathered layer are 0.7 to 1.3 times XLA's temporary memory for models
that are mostly matrix products, with and without micro-batches, and about half of it for
reinforcement learning.
"""

import contextlib
import math
from collections import Counter
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from panorax.core import spec
from panorax.core.errors import UserError
from panorax.core.spec import is_parameter
from panorax.core.state import State, System
from panorax.maths import cost
from panorax.maths.partial_sums import partial_sums
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


@dataclass(frozen=True)
class Needs:
    """Memory and communication of one training step."""

    memory: dict[str, float]
    """bytes on each device, by kind"""
    activations: dict[str, float]
    """bytes of the arrays that make up the activations at the peak, by dtype and shape"""
    communication: dict[str, float]
    """bytes that each device sends in a step, by kind; without `sum_activations` if the model
    cannot be traced on the shards of `tensor`"""


LARGEST = 5  # arrays of the activations that `shown` prints


def plan(system: System, sizes: dict[str, int]) -> Needs:
    """Memory and communication of a training step on a mesh.

    sizes: the size of every mesh axis. Raises UserError if the mesh does not divide the batch, or
    if the rows of a device cannot be split into micro-batches.
    """
    key = jax.eval_shape(lambda: jax.random.key(0))
    state = jax.eval_shape(system.init_state, key)
    ways = sizes["data"] * sizes["fsdp"]
    _check_rows(system, ways)
    shard = _shard(state, placement(system, state, planned_mesh(sizes)).state)
    tensor_only = placement(system, state, planned_mesh(sizes | {"data": 1, "fsdp": 1})).state
    batch = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((x.shape[0] // ways, *x.shape[1:]), x.dtype), system.batch
    )
    trace = lambda state: jax.make_jaxpr(system.train_step)(state, batch, key)
    try:
        traced = _shard(state, tensor_only)
        program = trace(traced)
    except (TypeError, ValueError):
        # The model takes sizes from its config, so it cannot be traced on shards. Whole parameters
        # bound the peak from above.
        traced, program = state, trace(state)
    communication = _communication(_bytes(traced.params), sizes, system.micro_batches)
    if sizes["tensor"] > 1 and traced is not state:
        with contextlib.suppress(ValueError):  # the model chooses its operations by its sizes
            partial = partial_sums(trace(state), program)
            communication["sum_activations"] = _all_reduced(partial, sizes["tensor"])
    shards = {
        (x.shape, x.dtype): _bytes(part)
        for x, part in zip(jax.tree.leaves(traced.params), jax.tree.leaves(shard.params))
    }
    # a system without batches makes its own data, on all devices
    share = 1 if jax.tree.leaves(batch) else 1 / ways
    arrays = cost.peak(program, lambda x: shards.get((x.shape, x.dtype), share * cost.nbytes(x)))
    gradients = sum(shards.get((x.shape, x.dtype), 0) for x in arrays)
    activations = Counter()
    for x in arrays:
        if (x.shape, x.dtype) not in shards:
            activations[f"{x.dtype}[{','.join(map(str, x.shape))}]"] += share * cost.nbytes(x)
    layer = _bytes(_largest_layer(traced.params, system.spec))
    memory = {
        "parameters": _bytes(shard.params),
        "optimizer": _bytes(shard.opt),
        "extra": _bytes(shard.extra),
        "gradients": gradients,
        "activations": sum(activations.values()),
        "gathered": layer if sizes["fsdp"] > 1 else 0,
    }
    return Needs(memory, dict(activations.most_common()), communication)


def flops(system: System) -> int:
    """Operations of a training step on all devices, in matrix products and convolutions."""
    key = jax.eval_shape(lambda: jax.random.key(0))
    state = jax.eval_shape(system.init_state, key)
    return cost.flops(jax.make_jaxpr(system.train_step)(state, system.batch, key))


def _check_rows(system: System, ways: int) -> None:
    """Raises UserError unless the rows of a batch can be split over devices and micro-batches."""
    for x in jax.tree.leaves(system.batch):
        rows, rest = divmod(x.shape[0], ways)
        if rest:
            raise UserError(
                f"the mesh splits a batch {ways} ways, which does not divide its {x.shape[0]} "
                "rows; change batch or the mesh"
            )
        if rows % system.micro_batches:
            accepted = ", ".join(str(n) for n in range(1, rows + 1) if rows % n == 0)
            raise UserError(
                f"each device has {rows} rows of the batch, which accumulate "
                f"{system.micro_batches} does not divide; set accumulate to one of {accepted}"
            )


def _communication(parameters: float, sizes: dict[str, int], micro_batches: int) -> dict:
    """Bytes that each device sends in a step for its `parameters` bytes of parameters.

    Each micro-batch gathers the parameters over `fsdp` for the forward and for the backward pass,
    and sums its gradients over all devices that hold other rows. A ring sends (n - 1) / n of the
    bytes for a gather or a scattered sum over n devices, and twice this for a whole sum.
    """
    rest = {axis: (n - 1) / n for axis, n in sizes.items()}
    part = parameters / sizes["fsdp"]
    sent = {
        "gather_parameters": 2 * parameters * rest["fsdp"],
        "sum_gradients": parameters * rest["fsdp"] + 2 * part * rest["data"],
    }
    return {kind: micro_batches * amount for kind, amount in sent.items()}


def _all_reduced(partial: list[tuple[jax.core.ShapedArray, int]], devices: int) -> float:
    """Bytes that each device sends to all-reduce these partial sums over `devices` in a ring."""
    return 2 * (devices - 1) / devices * sum(n * cost.nbytes(x) for x, n in partial)


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
    sizes = mesh_of(devices, mesh)
    needs, chip = plan(system, sizes), CHIPS[chip_name]
    memory, total = memory or chip.memory, sum(needs.memory.values())
    operations = flops(system)
    seconds = operations / (devices * chip.peak * utilisation)
    axes = [f"{axis}={sizes[axis]}" for axis in MESH_AXES if sizes[axis] > 1]
    return {
        "config": name,
        "devices": devices,
        "chip": chip_name,
        "mesh": ",".join(axes) or "data=1",
        "parameters": spec.count(system.spec),
        "bytes_per_device": needs.memory | {"total": total},
        "activations": needs.activations,
        "sent_per_device": needs.communication,
        "memory": memory,
        "fits": total <= memory,
        "flops_per_step": operations,
        "seconds_per_step": seconds,
        "utilisation": utilisation,
        "per_second": {name: amount / seconds for name, amount in system.per_step.items()},
        "footprint": system.footprint(),
    }


def mesh_of(devices: int, mesh: str) -> dict[str, int]:
    """The size of every axis of `mesh`, which is by default `fsdp=DEVICES`.

    Raises UserError if the mesh does not have `devices` devices.
    """
    sizes = mesh_sizes(mesh or f"fsdp={devices}")
    if math.prod(sizes.values()) != devices:
        raise UserError(
            f"mesh {mesh} has {math.prod(sizes.values())} devices, --devices is {devices}"
        )
    return sizes


def shown(planned: dict) -> str:
    """The plan of `report` as text for the terminal."""
    fits = "fits" if planned["fits"] else "DOES NOT FIT"
    parts = {name: x for name, x in planned["bytes_per_device"].items() if x}
    flops, seconds = planned["flops_per_step"], planned["seconds_per_step"]
    arrays = list(planned["activations"].items())
    sent = {name: x for name, x in planned["sent_per_device"].items() if x}
    rows = [
        f"{planned['config']} on {planned['devices']} x {planned['chip']}, mesh {planned['mesh']}: "
        f"{planned['parameters']:,} parameters",
        "",
        "bytes per device",
    ]
    for name, x in parts.items():
        rows.append(f"  {name:14}{_si(x):>10}B")
        if name == "activations":
            rows += [f"  {_si(x):>26}B  {array}" for array, x in arrays[:LARGEST]]
    rows += [
        f"  {'memory':14}{_si(planned['memory']):>10}B: {fits}",
        "",
        f"one step        {_si(flops):>10}FLOP in matrix products, with recomputation",
        f"{seconds:>26.4g} s at {planned['utilisation']:.0%} of the peak",
    ]
    for name, x in planned["per_second"].items():
        rows.append(f"{_si(x):>26}{name.replace('_', ' ')}/s")
    for name, x in sent.items():
        rows.append(f"{_si(x):>26}B  sent by each device to {name.replace('_', ' ')}")
    if "tensor=" in planned["mesh"] and "sum_activations" not in planned["sent_per_device"]:
        rows.append(f"{'':28}and activations over tensor, which are not counted")
    for name, x in planned["footprint"].items():
        rows.append(f"{_si(x):>26}B  {name.replace('_', ' ')}")
    if not planned["fits"]:
        changes = " ".join(planned["changes"]) or "more devices, a smaller model or --mesh tensor=N"
        rows += ["", f"to make it fit: {changes}"]
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
