"""Shardings from logical axis names: one mesh and one table of rules for all systems.

Models name the axes of their arrays (`embed`, `heads`, ...), never devices. RULES maps each name to
mesh axes. An array axis stays whole if its mesh axes do not divide it. `jit` with these shardings
gives data parallelism (`data`), fully sharded data parallelism or ZeRO-3 (`fsdp`), and Megatron's
tensor parallelism (`tensor`).
"""

import math
from dataclasses import dataclass
from typing import Any

import jax
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec

from panorax.core import spec as spec_lib
from panorax.core.errors import UserError
from panorax.core.layout import BATCH_AXES
from panorax.core.state import State, System

MESH_AXES = ("data", "fsdp", "tensor")
RULES = {
    "batch": BATCH_AXES,
    "embed": ("fsdp",),
    "vocab": ("tensor",),
    "heads": ("tensor",),
    "kv_heads": ("tensor",),
    "mlp": ("tensor",),
}
NEVER_SPLIT = (None, "layers", "y", "x", "batch")  # axes that `fsdp` never splits


@dataclass(frozen=True)
class Placement:
    """The shardings of a run."""

    state: Any
    """State of shardings, one for every leaf"""
    batch: Any
    """sharding of the arrays of a batch"""
    stacked_batch: Any
    """sharding of stacked batches, whose axis 0 is the step"""
    replicated: Any
    """sharding of a copy on every device"""


def mesh_sizes(text: str = "") -> dict[str, int]:
    """The size of every mesh axis in a text such as `data=2,fsdp=2`; omitted axes have size 1.

    Raises UserError for an unknown or repeated axis, or a size that is not a positive integer.
    """
    sizes = {}
    for part in filter(None, text.split(",")):
        axis, _, size = part.partition("=")
        if axis not in MESH_AXES or axis in sizes or not size.isdecimal() or int(size) < 1:
            raise UserError(f"bad mesh {part!r}: give each size once, as {'=N,'.join(MESH_AXES)}=N")
        sizes[axis] = int(size)
    return dict.fromkeys(MESH_AXES, 1) | sizes


def make_mesh(text: str = "") -> Mesh:
    """The mesh of a text such as `data=2,fsdp=2`.

    An empty text means one device or, with many processes, all devices along `data`. Raises
    UserError for an invalid text, or if there are too few devices. With many processes the mesh
    must use all devices, because a process without devices in the mesh cannot run its programs.
    """
    processes, available = jax.process_count(), jax.device_count()
    sizes = mesh_sizes(text or (f"data={available}" if processes > 1 else ""))
    needed = math.prod(sizes.values())
    if needed > available:
        raise UserError(f"mesh {text} needs {needed} devices, there are {available}")
    if processes > 1 and needed < available:
        raise UserError(
            f"mesh {text} uses {needed} devices; a run on {processes} processes uses "
            f"all their {available} devices"
        )
    return jax.make_mesh(
        tuple(sizes.values()),
        MESH_AXES,
        axis_types=(AxisType.Auto,) * len(MESH_AXES),
        devices=jax.devices()[:needed],
    )


def planned_mesh(sizes: dict[str, int]) -> AbstractMesh:
    """An abstract mesh of these sizes, for shardings on devices that this machine does not have."""
    return AbstractMesh(
        tuple(sizes.values()), tuple(sizes), axis_types=(AxisType.Auto,) * len(sizes)
    )


def partition(axes: tuple[str | None, ...], shape: tuple[int, ...], mesh: Mesh) -> PartitionSpec:
    """The PartitionSpec of an array with these logical axes.

    RULES split each axis whose size they divide. If `fsdp` then splits no axis, it splits the
    largest named axis that it divides, so that every large array is split. No mesh axis is used
    twice.
    """
    parts = []
    for name, size in zip(axes, shape):
        used = {a for part in parts for a in part}
        over = tuple(a for a in RULES.get(name, ()) if mesh.shape[a] > 1 and a not in used)
        parts.append(over if size % math.prod(mesh.shape[a] for a in over) == 0 else ())
    if all("fsdp" not in part for part in parts):
        free = [
            0 if name in NEVER_SPLIT else size // math.prod(mesh.shape[a] for a in part)
            for name, size, part in zip(axes, shape, parts)
        ]
        place = largest_divisible(free, mesh.shape["fsdp"])
        if place is not None:
            parts[place] = (*parts[place], "fsdp")
    return PartitionSpec(*[part or None for part in parts])


def largest_divisible(sizes, n: int) -> int | None:
    """Index of the largest positive size that `n` divides, None if there is none or n is 1."""
    fits = [i for i, size in enumerate(sizes) if n > 1 and size and size % n == 0]
    return max(fits, key=lambda i: sizes[i], default=None)


def is_axes(x) -> bool:
    """True for a tuple of logical axis names, the leaf type of a tree of axes."""
    return isinstance(x, tuple) and len(x) > 0 and all(a is None or isinstance(a, str) for a in x)


def shardings(axes, abstract, mesh: Mesh):
    """A NamedSharding for every leaf of `abstract`.

    axes: a tree prefix of `abstract`. None means replicated; a tuple of names applies to the
    leading axes of every array below it.
    """

    def below(names, subtree):
        names = names or ()
        return jax.tree.map(lambda x: NamedSharding(mesh, partition(names, x.shape, mesh)), subtree)

    return jax.tree.map(below, axes, abstract, is_leaf=lambda x: x is None or is_axes(x))


def parameter_shardings(spec, mesh: Mesh):
    """The sharding of every parameter of `spec` on `mesh`."""
    return shardings(spec_lib.axes(spec), spec_lib.abstract(spec), mesh)


def optimizer_shardings(opt, params, placed, mesh: Mesh):
    """The shardings of the optimiser state `opt`.

    An array gets the sharding of the parameter that it follows: both have the same shape, and the
    keys of the parameter's path occur in the array's path in order, with the same last key. This
    finds moments at any nesting: in a chain, per player, of a trained subset. Any other array
    (a factor of K-FAC, a row of Adafactor) is split along its largest axis that `fsdp` divides.

    placed: shardings of `params`.
    """
    leaves, shards = jax.tree_util.tree_leaves_with_path(params), jax.tree.leaves(placed)
    followed = [
        (_names(path), x.shape, shard) for (path, x), shard in zip(leaves, shards, strict=True)
    ]

    def place(path, x):
        names = _names(path)
        matches = [
            (suffix, len(keys), shard)
            for keys, shape, shard in followed
            if shape == x.shape and (suffix := _follows(keys, names))
        ]
        if matches:
            return max(matches, key=lambda match: match[:2])[2]
        axis = largest_divisible(x.shape, mesh.shape["fsdp"])
        over = ["fsdp" if i == axis else None for i in range(x.ndim)]
        return NamedSharding(mesh, PartitionSpec(*over))

    return jax.tree_util.tree_map_with_path(place, opt)


def _names(path) -> tuple[str, ...]:
    """The keys of a path through dicts, sequences and dataclasses."""
    return tuple(jax.tree_util.keystr((key,), simple=True) for key in path)


def _follows(keys: tuple[str, ...], names: tuple[str, ...]) -> int:
    """Length of the common suffix if `keys` occur in `names` in order, up to the last, else 0."""
    rest = iter(names)
    if not keys or keys[-1] != names[-1] or not all(key in rest for key in keys):
        return 0
    return next((n for n, (a, b) in enumerate(zip(keys[::-1], names[::-1])) if a != b), len(keys))


def placement(system: System, state: State, mesh: Mesh) -> Placement:
    """The shardings of the state and the batches of a system on `mesh`; `state` may be abstract."""
    replicated = NamedSharding(mesh, PartitionSpec())
    params = parameter_shardings(system.spec, mesh)
    placed = State(
        params=params,
        opt=optimizer_shardings(state.opt, state.params, params, mesh),
        extra=shardings(system.extra_axes, state.extra, mesh),
        step=replicated,
    )
    batch = RULES["batch"]
    return Placement(
        placed,
        NamedSharding(mesh, PartitionSpec(batch)),
        NamedSharding(mesh, PartitionSpec(None, batch)),
        replicated,
    )
