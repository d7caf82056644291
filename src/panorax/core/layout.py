"""Sharding constraints on activations; without a mesh they are the identity.

The axes of parameters determine their shardings (`panorax.parallel.sharding`), and the compiler
infers the shardings of activations from parameters and batch. Without these constraints, the
compiler may split activations along their width, as it splits a parameter: every device then holds
the whole batch, and splitting saves nothing.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

BATCH_AXES = ("data", "fsdp")


def split_batch(x: jax.Array) -> jax.Array:
    """Splits axis 0 of the activation `x`, the batch, over the mesh axes of the batch.

    Returns `x` unchanged if the product of these mesh axes does not divide axis 0.
    """
    axes = _split_axes()
    if not axes or x.ndim == 0 or x.shape[0] % math.prod(axes.values()):
        return x
    trailing = [PartitionSpec.UNCONSTRAINED] * (x.ndim - 1)
    return jax.lax.with_sharding_constraint(x, PartitionSpec(tuple(axes), *trailing))


def whole_rows(table: jax.Array) -> jax.Array:
    """Leaves axis 1 of `table` (N, D) unsplit, so that indexing axis 0 reads whole rows."""
    if not _split_axes():
        return table
    return jax.lax.with_sharding_constraint(table, PartitionSpec(PartitionSpec.UNCONSTRAINED, None))


def sum_over_rows(function: Callable, rows: Sequence, whole: jax.Array) -> jax.Array:
    """function(*rows, whole), a number that is a sum over axis 0 of the arrays in `rows`.

    On a mesh each device calls the function with its own rows, and the devices' gradients of
    `whole` are summed once. The compiler would split a loop over rows, or a kernel, by gathering.
    Without a mesh, or if it does not divide axis 0, the function is called as it is.
    """
    axes = _split_axes()
    if not axes or rows[0].ndim == 0 or rows[0].shape[0] % math.prod(axes.values()):
        return function(*rows, whole)
    split = PartitionSpec(tuple(axes))
    of_devices = jax.shard_map(
        lambda *arrays: function(*arrays)[None],
        in_specs=(*(split for _ in rows), PartitionSpec()),
        out_specs=split,
        axis_names=set(axes),
        check_vma=False,  # a Pallas call states no types of variation
    )(*rows, whole)
    return jnp.sum(of_devices)


def _split_axes() -> dict[str, int]:
    """Sizes of the mesh axes that split the batch, without axes that `shard_map` splits already."""
    mesh = jax.sharding.get_abstract_mesh()
    return {
        a: mesh.shape[a]
        for a in BATCH_AXES
        if mesh.shape.get(a, 1) > 1 and a not in mesh.manual_axes
    }
