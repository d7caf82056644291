"""From logical axis names to shardings: one mesh, one table of rules, and every system runs on many devices unchanged.

Models name their axes (`embed`, `heads`, ...) and never a device. The rules say over which mesh axes each name is split;
an axis that its mesh axes do not divide stays whole. `jit` with these shardings gives data parallelism (`data`),
fully sharded data parallelism, ZeRO-3 (`fsdp`), and Megatron's tensor parallelism (`tensor`).
"""

import math

import jax
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec

from panorax.core import spec as spec_lib
from panorax.core.errors import UserError
from panorax.core.layout import BATCH_AXES
from panorax.core.loop import Placement
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


def mesh_sizes(text: str = "") -> dict[str, int]:
    """The size of every mesh axis in `data=2,fsdp=2`; axes left out have size 1. Raises UserError for an unknown axis or a size that is no positive integer."""
    sizes = dict.fromkeys(MESH_AXES, 1)
    for part in filter(None, text.split(",")):
        axis, _, size = part.partition("=")
        if axis not in MESH_AXES or not size.isdecimal() or int(size) < 1:
            raise UserError(f"bad mesh {part!r}: give sizes as {'=N,'.join(MESH_AXES)}=N")
        sizes[axis] = int(size)
    return sizes


def make_mesh(text: str = "") -> Mesh:
    """The mesh of `data=2,fsdp=2`. An empty text means one device, or with many processes all devices of all as `data`.

    Raises UserError for a bad text, more devices than there are, or with many processes fewer: one without a part of the mesh could not run its programs.
    """
    processes, there = jax.process_count(), jax.device_count()
    sizes = mesh_sizes(text or (f"data={there}" if processes > 1 else ""))
    needed = math.prod(sizes.values())
    if needed > there:
        raise UserError(f"mesh {text} needs {needed} devices, there are {there}")
    if processes > 1 and needed < there:
        raise UserError(f"mesh {text} uses {needed} devices; a run on {processes} processes uses all {there} of theirs")
    return jax.make_mesh(tuple(sizes.values()), MESH_AXES, axis_types=(AxisType.Auto,) * len(MESH_AXES), devices=jax.devices()[:needed])


def planned_mesh(sizes: dict[str, int]) -> AbstractMesh:
    """A mesh of devices that need not be there, to ask how things would lie on it."""
    return AbstractMesh(tuple(sizes.values()), tuple(sizes), axis_types=(AxisType.Auto,) * len(sizes))


def partition(axes: tuple[str | None, ...], shape: tuple[int, ...], mesh: Mesh) -> PartitionSpec:
    """The PartitionSpec of an array with these logical axes: no mesh axis used twice, none that does not divide its axis."""
    used, parts = set(), []
    for name, size in zip(axes, shape):
        over = tuple(a for a in RULES.get(name, ()) if mesh.shape[a] > 1 and a not in used)
        if size % math.prod(mesh.shape[a] for a in over):
            over = ()
        used.update(over)
        parts.append(over or None)
    return PartitionSpec(*parts)


def is_axes(x) -> bool:
    """A tuple of logical axis names is one leaf of a tree of axes."""
    return isinstance(x, tuple) and len(x) > 0 and all(a is None or isinstance(a, str) for a in x)


def shardings(axes, abstract, mesh: Mesh):
    """A NamedSharding for every leaf of `abstract`. `axes` is a tree prefix of it; `None` means replicated, and a
    tuple of names applies to the leading axes of every array below it."""

    def below(names, subtree):
        names = names or ()
        return jax.tree.map(lambda x: NamedSharding(mesh, partition(names, x.shape, mesh)), subtree)

    return jax.tree.map(below, axes, abstract, is_leaf=lambda x: x is None or is_axes(x))


def parameter_shardings(spec, mesh: Mesh):
    """Where each parameter of a spec lives on `mesh`."""
    return shardings(spec_lib.axes(spec), spec_lib.abstract(spec), mesh)


def placement(system: System, state: State, mesh: Mesh) -> Placement:
    """Where everything of a system lives on `mesh`; `state` may be abstract. Optimiser moments lie with their parameters."""
    replicated = NamedSharding(mesh, PartitionSpec())
    params = parameter_shardings(system.spec, mesh)
    like_params = jax.tree.structure(state.params)
    opt = jax.tree.map(
        lambda x: params if jax.tree.structure(x) == like_params else replicated,
        state.opt,
        is_leaf=lambda x: jax.tree.structure(x) == like_params,
    )
    placed = State(params=params, opt=opt, extra=shardings(system.extra_axes, state.extra, mesh), step=replicated)
    return Placement(placed, NamedSharding(mesh, PartitionSpec(None, RULES["batch"])), replicated)
