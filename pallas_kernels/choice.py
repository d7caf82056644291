"""Which implementation runs: the named one, or the first of this machine that accepts the call."""

import functools
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
    tried only after NotImplementedError. Kernels are not tried under a mesh of many devices: XLA
    cannot split a kernel and would gather its arguments on each device. Name the implementation to
    run it there, inside `jax.shard_map(..., check_vma=False)`. Errors of a named
    implementation are passed on. Raises ValueError for a name that is not among them.
    """
    if implementation is not None:
        if implementation not in implementations:
            raise ValueError(
                f"no implementation {implementation!r}; accepted: {', '.join(implementations)}"
            )
        return implementations[implementation](*arguments, **options)
    many = jax.sharding.get_abstract_mesh().size > 1
    kernels = () if many else PREFERRED.get(jax.default_backend(), ())
    *attempts, last = (
        implementations[name] for name in (*kernels, "xla", "reference") if name in implementations
    )
    for attempt in attempts:
        try:
            return attempt(*arguments, **options)
        except NotImplementedError:
            pass
    return last(*arguments, **options)


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
