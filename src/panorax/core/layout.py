"""Sharding constraints on activations; without a mesh they are the identity.

The axes of parameters determine their shardings (`panorax.parallel.sharding`), and the compiler
infers the shardings of activations from parameters and batch. Without these constraints, the
compiler may split activations along their width, as it splits a parameter: every device then holds
the whole batch, and splitting saves nothing.
"""

import functools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from pallas_kernels.choice import tries_kernels

BATCH_AXES = ("data", "fsdp")
TENSOR_AXES = ("tensor",)


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


def on_own_rows(function: Callable, whole, rows: Sequence):
    """function(whole, *rows), an array whose axis 0 is that of the arrays in `rows`.

    On a mesh each device calls the function with its own rows and all of `whole`, and devices do
    not communicate meanwhile. Without a mesh, or if it does not divide axis 0, the function is
    called as it is. It is not differentiated.
    """
    sizes = _split_axes()
    if not sizes or len(rows[0]) % math.prod(sizes.values()):
        return function(whole, *rows)
    split, everywhere = PartitionSpec(tuple(sizes)), PartitionSpec()
    specs = (everywhere, *(split for _ in rows))
    return jax.shard_map(function, in_specs=specs, out_specs=split, check_vma=False)(whole, *rows)


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


def by_shards(
    function: Callable,
    arrays: Sequence[jax.Array],
    splits: Sequence[tuple[tuple[str, ...], ...]],
    implementation: str | None,
) -> jax.Array:
    """function(*arrays), where a mesh calls the kernels of `function` on the parts of each device.

    splits: for each array the mesh axes that split its first axes, such as `(BATCH_AXES, (),
        TENSOR_AXES)` for heads [B, T, H, K]. The result is split like the first array.
    implementation: of the kernels in `function`, as `pallas_kernels` takes it. Without a kernel, or
        without a mesh of many devices, the function is called as it is.

    An axis of one element is whole on every device. Mesh axes split nothing unless they divide all
    other axes that they are given for; devices then compute the same.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.size <= 1 or mesh.manual_axes or not tries_kernels(implementation):
        return function(*arrays)
    arrays = [jnp.asarray(x) for x in arrays]
    dividing = {
        axes
        for axes in {axes for split in splits for axes in split}
        if all(
            x.shape[i] == 1 or x.shape[i] % math.prod(mesh.shape[axis] for axis in axes) == 0
            for x, split in zip(arrays, splits, strict=True)
            for i, over in enumerate(split)
            if over == axes
        )
    }
    parts = [
        [axes if axes in dividing and n > 1 else () for axes, n in zip(split, x.shape)]
        for x, split in zip(arrays, splits, strict=True)
    ]
    return _on_parts(function, parts, mesh.axis_names)(*arrays)


def _on_parts(function: Callable, parts: Sequence[Sequence], names: Sequence[str]) -> Callable:
    """`function` on each device's parts of its arguments; the result is split like the first.

    parts: for each argument the mesh axes that split each of its axes.  names: of all mesh axes.

    Each device differentiates its own call. The gradients of an argument are summed over the
    devices that share a part of it and differ in other arguments. Under check_vma=False,
    `shard_map`'s own rule would also sum over devices that compute the same.
    """
    on_devices = functools.partial(jax.shard_map, axis_names=set(names), check_vma=False)
    used = [{axis for axes in part for axis in axes} for part in parts]
    splitting = set().union(*used)
    shared = [tuple(sorted(splitting - axes)) for axes in used]
    kept = PartitionSpec(tuple(sorted(splitting)))  # numbers of each device for its backward pass
    specs = tuple(PartitionSpec(*part) for part in parts)

    @jax.custom_vjp
    def call(*arrays):
        return on_devices(function, in_specs=specs, out_specs=specs[0])(*arrays)

    def forward(*primals):
        moved = [x.perturbed and jnp.issubdtype(x.value.dtype, jnp.floating) for x in primals]

        def on_device(*arrays):
            def of(moving):
                return function(*(x if new is None else new for x, new in zip(arrays, moving)))

            y, pull = jax.vjp(of, [x if moves else None for x, moves in zip(arrays, moved)])
            return y, jax.tree.map(lambda x: x[None], pull)

        mapped = on_devices(on_device, in_specs=specs, out_specs=(specs[0], kept))
        return mapped(*(x.value for x in primals))

    def backward(pull, dy):
        def on_device(pull, dy):
            (gradients,) = jax.tree.map(lambda x: x[0], pull)(dy)
            return tuple(map(jax.lax.psum, gradients, shared))

        return on_devices(on_device, in_specs=(kept, specs[0]), out_specs=specs)(pull, dy)

    call.defvjp(forward, backward, symbolic_zeros=True)
    return call


def _split_axes() -> dict[str, int]:
    """Sizes of the mesh axes that split the batch, without axes that `shard_map` splits already."""
    mesh = jax.sharding.get_abstract_mesh()
    return {
        a: mesh.shape[a]
        for a in BATCH_AXES
        if mesh.shape.get(a, 1) > 1 and a not in mesh.manual_axes
    }
