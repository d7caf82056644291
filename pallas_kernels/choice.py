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
    run it there, inside `jax.shard_map(..., check_vma=False)`. A named implementation raises what
    it raises. Raises ValueError for another name.
    """
    if implementation is not None:
        if implementation not in implementations:
            raise ValueError(
                f"no implementation {implementation!r}; accepted: {', '.join(implementations)}"
            )
        return implementations[implementation](*arguments, **options)
    many = jax.sharding.get_abstract_mesh().size > 1
    kernels = () if many else PREFERRED[jax.default_backend()]
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
    """`kernel(*arguments, backend)` as an implementation for each backend of `launch`."""

    def on(backend, *arguments):
        return kernel(*arguments, backend)

    return {backend: functools.partial(on, backend) for backend in PORTABLE}
