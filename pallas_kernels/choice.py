"""Which implementation runs: the named one, or the first of this machine that accepts the call."""

import functools
import math
from collections.abc import Callable, Mapping

import jax

PREFERRED = {"gpu": ("mosaic", "triton"), "tpu": ("tpu",), "cpu": ()}
PORTABLE = ("triton", "tpu", "triton_interpreted", "tpu_interpreted")
"""backends of a kernel that is written with `launch`"""


def first_that_runs(
    implementations: Mapping[str, Callable], implementation: str | None, *arguments, **options
):
    """Calls the implementation of that name; for None, the first one that this machine runs.

    The order is: kernels of the default device's platform, then xla, then reference. The next is
    tried only after NotImplementedError. Kernels are tried where one device has whole arrays (see
    `whole_arrays`). Errors of a named implementation are passed on. Raises ValueError for a name
    that is not among them.
    """
    if implementation is not None:
        if implementation not in implementations:
            raise ValueError(
                f"no implementation {implementation!r}; accepted: {', '.join(implementations)}"
            )
        return implementations[implementation](*arguments, **options)
    kernels = PREFERRED[jax.default_backend()] if whole_arrays() and tries_kernels(None) else ()
    *attempts, last = (
        implementations[name] for name in (*kernels, "xla", "reference") if name in implementations
    )
    for attempt in attempts:
        try:
            return attempt(*arguments, **options)
        except NotImplementedError:
            pass
    return last(*arguments, **options)


def tries_kernels(implementation: str | None) -> bool:
    """True if a call with this `implementation` may run a kernel on the present machine."""
    if implementation is None:
        return bool(PREFERRED.get(jax.default_backend()))
    return implementation not in ("xla", "reference")


def whole_arrays() -> bool:
    """True if the arrays of the present trace are whole on one device, as a kernel needs them.

    XLA cannot split a kernel: under a mesh of many devices it would gather the arguments on each.
    Inside `jax.shard_map(..., check_vma=False)` over all axes of the mesh, each device runs the
    kernel on its own part. A kernel states no types of variation, so check_vma=True refuses it.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if math.prod(n for axis, n in mesh.shape.items() if axis not in mesh.manual_axes) > 1:
        return False
    indices = (jax.lax.axis_index(axis) for axis in mesh.manual_axes)
    return not any(jax.typeof(i).manual_axis_type.varying for i in indices)


def portable(kernel: Callable) -> dict[str, Callable]:
    """`kernel(*arguments, backend, **options)` as an implementation for each of PORTABLE."""

    def on(backend, *arguments, **options):
        return kernel(*arguments, backend, **options)

    return {backend: functools.partial(on, backend) for backend in PORTABLE}


def require_hopper():
    """Raises NotImplementedError on a GPU without wgmma, the instruction of Hopper's tensor cores.

    A machine without a GPU may lower and interpret such a kernel.
    """
    device = jax.devices()[0]
    if device.platform == "gpu" and device.compute_capability != "9.0":
        raise NotImplementedError("mosaic kernels need wgmma, which Hopper GPUs alone have")
