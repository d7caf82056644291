"""How activations lie on a mesh of devices: said in two places of a model, the identity where no mesh is set.

Parameters are split as their axes say (`panorax.parallel.sharding`). From them and from the batch the compiler works out the rest, and may
take the split of a parameter's width for its activations too: every device then holds the whole batch, and nothing is saved.
"""

import math

import jax
from jax.sharding import PartitionSpec

BATCH_AXES = ("data", "fsdp")


def split_batch(x: jax.Array) -> jax.Array:
    """`x`, an activation whose first axis is the batch, split over the devices as the batch is; as it comes where they do not divide it."""
    axes = _split_axes()
    if not axes or x.ndim == 0 or x.shape[0] % math.prod(axes.values()):
        return x
    return jax.lax.with_sharding_constraint(
        x, PartitionSpec(tuple(axes), *[PartitionSpec.UNCONSTRAINED] * (x.ndim - 1))
    )


def whole_rows(table: jax.Array) -> jax.Array:
    """`table`, from which rows are read by index, with its rows whole on every device: gathered before they are read, not after."""
    return (
        jax.lax.with_sharding_constraint(table, PartitionSpec(PartitionSpec.UNCONSTRAINED, None))
        if _split_axes()
        else table
    )


def _split_axes() -> dict[str, int]:
    """The mesh axes that a batch is split over here, with their sizes; inside `shard_map` it is split already."""
    mesh = jax.sharding.get_abstract_mesh()
    return {
        a: mesh.shape[a]
        for a in BATCH_AXES
        if mesh.shape.get(a, 1) > 1 and a not in mesh.manual_axes
    }
