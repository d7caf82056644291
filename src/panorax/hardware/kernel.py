"""One kernel of `pallas_kernels`: is it exact, what does fusion save, does it lower?

    exactness   every implementation that runs here, kernels under their interpreter, beside the
                definition in float64: error of results and of gradients over the small cases
    traffic     bytes that memory moves: at least (arguments and results once), as XLA compiles the
                definition, and operation by operation
    lowering    cases whose results and gradients lower for a GPU and for a TPU, with the kernel's
                custom call in the program
    memory      temporaries of a training step, of the definition and of the blockwise version;
                only for operations that have one

    value_error, gradient_error    largest error of float32 cases over the implementations, over
                                   the largest element (or 1)
    half_error                     the same for cases in bfloat16 or float16
    implementations                implementations beside the definition
    unfused_over_least             bytes operation by operation over the least
    xla_over_least                 bytes of XLA's program over the least
    operations_per_byte            intensity of the operation
    lowered, not_lowered           pairs of case and accelerator
    temporaries_over_blockwise     bytes of the definition's temporaries over the blockwise ones
    blockwise_mb                   MiB of the blockwise temporaries

The equation, tiling and source of an operation are in the docstring of its folder. How fast a
kernel is, `bench/kernels` measures; where it lies under the roof, `hardware/roofline` does.
"""

import contextlib
import functools

import jax
import jax.numpy as jnp

import pallas_kernels
from pallas_kernels import proof
from pallas_kernels.operation import Case, Operation
from panorax.core import figures
from panorax.core.claims import Claim
from panorax.core.errors import UserError
from panorax.core.ranges import Count, Whole, checked
from panorax.core.state import Result
from panorax.core.study import Part
from panorax.maths import cost

PROVEN = (
    Claim("value_error", "<", 1e-6, "Panorax: float32 results equal float64 within 1e-6"),
    Claim("half_error", "<", 2.0**-7, "Panorax: bfloat16 and float16 err by at most 2^-7"),
    Claim("not_lowered", "==", 0, "Panorax: every case lowers for its accelerators"),
)
"""claims on every kernel"""
GRADIENTS = (
    Claim("gradient_error", "<", 1e-6, "Panorax: float32 gradients equal float64 within 1e-6"),
)
"""claims on kernels with a backward pass"""


@checked
class Config:
    operation: str
    """folder of `pallas_kernels`"""
    cases: Count = 100
    """largest number of cases of each part"""
    seed: Whole = 0
    """seed of the study; arguments are drawn by the names of their cases"""

    def __post_init__(self):
        if self.operation not in (names := pallas_kernels.names()):
            raise UserError(f"operation must be one of {', '.join(names)}; got {self.operation!r}")


def exactness(key, operation: Operation, limit: int) -> Result:
    """Errors of every implementation on the small cases."""
    cases = [case for case in operation.cases if case.size == "small"][:limit]
    errors = {
        (case.name, name): (*proof.errors(operation, case, name), _narrow(case))
        for case in cases
        for name in ("reference", *operation.testable)
    }
    largest = lambda i, half: max((e[i] for e in errors.values() if e[2] == half), default=0.0)
    metrics = {
        "value_error": largest(0, half=False),
        "gradient_error": largest(1, half=False),
        "half_error": max(largest(0, half=True), largest(1, half=True)),
        "implementations": float(len(operation.testable)),
    }
    return Result(metrics, {"errors.png": draw_errors(errors)})


def _narrow(case: Case) -> bool:
    """Does the case have floating-point arguments of 16 bits?"""
    arguments = jax.tree.leaves(jax.eval_shape(case.arguments, jax.random.key(0)))
    return any(x.dtype in (jnp.bfloat16, jnp.float16) for x in arguments)


def traffic(key, operation: Operation) -> Result:
    """Bytes of the first case for a CPU: least, as XLA compiles the reference, and unfused."""
    case = next(case for case in operation.cases if case.size == "cpu")
    arguments = jax.eval_shape(case.arguments, key)
    call = functools.partial(operation.reference, **case.options)
    least = operation.cost(*arguments, **case.options)
    compiled = jax.jit(call).lower(*arguments).compile()
    moved = {
        "least": least.nbytes,
        "XLA": compiled.cost_analysis()["bytes accessed"],
        "unfused": cost.unfused_bytes(jax.make_jaxpr(call)(*arguments)),
    }
    metrics = {
        "unfused_over_least": moved["unfused"] / least.nbytes,
        "xla_over_least": moved["XLA"] / least.nbytes,
        "operations_per_byte": least.flops / least.nbytes,
    }
    return Result(metrics, {"traffic.png": draw_traffic(moved, case.name)})


def lowering(key, operation: Operation, limit: int) -> Result:
    """Pairs of case and accelerator whose program holds the kernel's custom call.

    A case that a kernel refuses, such as float16 on a TPU, is not counted.
    """
    cases = [case for case in operation.cases if case.size == "gpu"][:limit]
    held = []
    for case in cases:
        for target in (t for t in proof.CALLS if t in operation.implementations):
            with contextlib.suppress(NotImplementedError):
                held.append(proof.CALLS[target] in proof.lowered(operation, case, target))
    return Result({"lowered": float(sum(held)), "not_lowered": float(held.count(False))})


def memory(key, operation: Operation) -> Result:
    """Bytes of temporaries of results and gradients, compiled for this machine."""
    case = next(case for case in operation.cases if case.size == "cpu")
    arguments = jax.eval_shape(case.arguments, key)
    used = {}
    for name in ("reference", "xla"):
        run = functools.partial(operation.run, implementation=name)
        ones = functools.partial(jax.tree.map, jnp.ones_like)
        call = lambda *arguments, run=run: proof.with_gradients(
            run, operation, case, arguments, ones
        )[:2]
        compiled = jax.jit(call).lower(*arguments).compile()
        used[name] = compiled.memory_analysis().temp_size_in_bytes
    return Result(
        {
            "temporaries_over_blockwise": used["reference"] / used["xla"],
            "blockwise_mb": used["xla"] / 2**20,
        }
    )


def draw_errors(errors):
    figure, axes = figures.panels(2, 1, 5.0, 4.0)
    cases, names = (list(dict.fromkeys(pair[i] for pair in errors)) for i in (0, 1))
    for i, (ax, title) in enumerate(zip(axes, ("results", "gradients"), strict=True)):
        for j, name in enumerate(names):
            shown = [max(errors[case, name][i], 1e-9) for case in cases]
            ax.plot(shown, range(len(cases)), "osD^v"[j % 5], label=name.replace("_", ", "))
        ax.set(title=f"Error of {title}", xlabel="over the largest element", xscale="log")
        ax.set_yticks(range(len(cases)), cases if i == 0 else [""] * len(cases))
        ax.set_ylabel("case")
    return figures.legends(figure, fontsize=7)


def draw_traffic(moved, title):
    figure, (ax,) = figures.panels()
    ax.bar(list(moved), [nbytes / 2**20 for nbytes in moved.values()])
    ax.set(title=title, ylabel="MiB read and written", xlabel="program")
    return figure


def study(cfg: Config) -> dict[str, Part]:
    """Exactness, traffic and lowering of one operation; memory where it has a blockwise version."""
    operation = pallas_kernels.operation(cfg.operation)
    bound = functools.partial
    parts = {
        "exactness": bound(exactness, operation=operation, limit=cfg.cases),
        "traffic": bound(traffic, operation=operation),
        "lowering": bound(lowering, operation=operation, limit=cfg.cases),
    }
    if "xla" in operation.implementations:
        parts["memory"] = bound(memory, operation=operation)
    return parts
