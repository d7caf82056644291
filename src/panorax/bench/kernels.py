"""Every kernel beside XLA, PyTorch and others: forward and backward, time, memory and error.

A contender computes results and gradients of one case of `pallas_kernels` in one compiled program
(PyTorch: eager), on random arguments that all contenders share. A competitor that cannot run a case
is listed with its reason. A record of a GPU has its clocks, power and temperature under load.

    CASE_panorax_ratio      calls per second of the implementation that this machine prefers, over
                            those of the definition compiled by XLA
    CASE_torch_ratio        calls per second of PyTorch's own kernel, over the same; likewise cudnn,
                            jax_mosaic and tokamax
    CASE_share              rate of our kernel over what the roofline allows: operations and bytes
                            of the case (`Cost`) against a matrix product and a copy, timed in the
                            same run
    CASE_temporaries_ratio  bytes of temporaries of the definition over ours
    CASE_error              largest difference of our results and gradients from the definition on
                            the arguments widened to float32, over the largest element

The work of a call is that of the forward pass times `Operation.passes`, such as 3 for a product:
one forward, two backward. Cotangents are random.
"""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp

import pallas_kernels
from pallas_kernels import proof
from pallas_kernels.operation import Case, Operation
from panorax.bench.machine import gpu_state
from panorax.bench.rounds import compare, spread
from panorax.bench.table import Table
from panorax.core.errors import UserError
from panorax.core.ranges import Count, checked
from panorax.engine.loop import Clock
from panorax.maths.timing import attainable, copy_rate, product_rate

HERE, LIBRARIES = "panorax.bench.kernels:", "panorax.bench.libraries.jax_kernels:"
CONTENDERS = {
    "panorax": HERE + "panorax",
    "xla": HERE + "xla",
    "torch": "panorax.bench.libraries.torch_kernels:torch_kernel",
    "cudnn": LIBRARIES + "cudnn",
    "jax_mosaic": LIBRARIES + "jax_mosaic",
    "tokamax": LIBRARIES + "tokamax_kernel",
}
HAS = {
    "torch": (
        "cross_entropy",
        "flash_attention",
        "layer_norm",
        "matmul",
        "rms_norm",
        "softmax",
        "swiglu",
    ),
    "cudnn": ("flash_attention",),
    "jax_mosaic": ("flash_attention",),
    "tokamax": ("flash_attention", "grouped_matmul", "layer_norm", "rms_norm"),
}
"""operations that a competitor has; the others have all"""
LOAD = 1000
"""products of matrices during which the state of a GPU is read"""


@checked
class Config:
    cases: tuple[tuple[str, str], ...]
    """operation and name of its case"""
    contenders: tuple[str, ...] = ("panorax", "xla", "torch")
    """keys of CONTENDERS; a competitor takes part in the operations that it HAS"""
    matrix: Count = 1024
    """rows of the square matrices of the reference product"""
    dtype: str = "float32"
    """dtype of the reference product"""
    copy: Count = 256
    """size in MiB of the array of the reference copy"""
    backend: str = "cpu"
    """JAX backend that the comparison requires"""
    rounds: Count = 5
    """counted rounds"""


def benchmark(cfg: Config, folder: Path) -> Table:
    """Compares the contenders on every case, against the definition compiled by XLA.

    Raises UserError if JAX runs on another backend than `cfg.backend`.
    """
    setting = {"matrix": cfg.matrix, "dtype": cfg.dtype, "copy": cfg.copy}
    machine = compare({"ceilings": HERE + "ceilings"}, setting, folder, 1)["ceilings"].facts
    if machine["backend"] != cfg.backend:
        raise UserError(
            f"this comparison needs a {cfg.backend}, but JAX runs on a {machine['backend']}; on a "
            f"machine with a {cfg.backend}, install JAX for it, such as `pip install -e .[gpu]`"
        )
    flops, bandwidth = machine["flops"], machine["bandwidth"]
    table = Table(
        "calls/s",
        metrics={"gflops": flops / 1e9, "copy_gb_per_s": bandwidth / 1e9},
        machine=machine["state"],
    )
    environment = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # contenders share a GPU
    for operation, case in cfg.cases:
        setting = {"operation": operation, "case": case}
        paths = {name: CONTENDERS[name] for name in contenders(cfg, operation)}
        measured = compare(paths, setting, folder, cfg.rounds, environment, may_refuse(cfg))
        name = word(operation, case)
        table.add(name, measured, "xla")
        ours, xla = measured["panorax"].facts, measured["xla"].facts
        roof = float(attainable(ours["flops"] / ours["nbytes"], flops, bandwidth))
        rate = ours["flops"] * spread(measured["panorax"].rates)["median"]
        table.metrics |= {
            f"{name}_share": rate / roof,
            f"{name}_temporaries_ratio": xla["temporaries_mb"] / max(ours["temporaries_mb"], 1e-3),
            f"{name}_error": ours["error"],
        }
    return table


def contenders(cfg: Config, operation: str) -> tuple[str, ...]:
    """The contenders that have an operation."""
    return tuple(name for name in cfg.contenders if operation in HAS.get(name, (operation,)))


def may_refuse(cfg: Config) -> tuple[str, ...]:
    """The competitors, on a GPU; on a CPU a contender that does not run is an error."""
    return tuple(name for name in cfg.contenders if name in HAS and cfg.backend == "gpu")


def word(operation: str, case: str) -> str:
    """The name of a case in metrics: softmax and `odd width` are softmax_odd_width."""
    return "_".join([operation, *case.replace(",", "").lower().split()])


def ceilings(setting: dict, folder: Path):
    """The rates of a matrix product and of a copy, as facts."""
    n, dtype = setting["matrix"], jnp.dtype(setting["dtype"])
    facts = {
        "backend": jax.default_backend(),
        "flops": product_rate(n, dtype),
        "state": state_under_load(n, dtype) if jax.default_backend() == "gpu" else {},
        "bandwidth": copy_rate(2**20 * setting["copy"], 2**32),
        "version": jax.__version__,
    }
    return facts, lambda: 1


def state_under_load(n: int, dtype) -> dict[str, str]:
    """The state of the GPU while it multiplies random n x n matrices, in LOAD products."""
    a, b = jax.random.normal(jax.random.key(0), (2, n, n)).astype(dtype)
    scaled = jax.jit(lambda a, b: (a @ b * n**-0.5).astype(dtype), donate_argnums=0)
    for _ in range(LOAD):
        a = scaled(a, b)  # returns at once
    state = gpu_state()
    jax.block_until_ready(a)
    return state


def chosen(setting: dict) -> tuple[Operation, Case]:
    """The operation and the case of a setting."""
    operation = pallas_kernels.operation(setting["operation"])
    [case] = [case for case in operation.cases if case.name == setting["case"]]
    return operation, case


def panorax(setting: dict, folder: Path):
    """The implementation that this machine prefers; its error is measured before the turns."""
    operation, case = chosen(setting)
    facts, work, answers = timed(operation, case, operation.run)
    arguments = jax.tree.map(_wide, proof.drawn(case))
    cotangents = jax.tree.map(_wide, answers[2])
    exact = proof.with_gradients(
        operation.reference, operation, case, arguments, lambda _: cotangents
    )
    pairs = zip(jax.tree.leaves(answers[:2]), jax.tree.leaves(exact[:2]), strict=True)
    return facts | {"error": max(proof.error(x, y) for x, y in pairs)}, work


def xla(setting: dict, folder: Path):
    """The definition, compiled by XLA."""
    operation, case = chosen(setting)
    return timed(operation, case, operation.reference)[:2]


def _wide(x):
    return x.astype(jnp.float32) if x.dtype in (jnp.bfloat16, jnp.float16) else x


def timed(operation: Operation, case: Case, run):
    """Facts and work of a contender, and its results, gradients and cotangents.

    run: (*arguments, **options of the case) -> results.
    """
    arguments, clock = proof.drawn(case), Clock()
    results = jax.eval_shape(functools.partial(run, **case.options), *arguments)
    inputs = (proof.random_like(results), arguments)

    def call(cotangents, arguments):
        return proof.with_gradients(run, operation, case, arguments, lambda _: cotangents)

    program = clock.compile(call, *inputs)
    cost = operation.cost(*arguments, **case.options)
    facts = {
        "backend": jax.default_backend(),
        "flops": operation.passes * cost.flops,
        "nbytes": operation.passes * cost.nbytes,
        "temporaries_mb": round(program.memory_analysis().temp_size_in_bytes / 2**20, 3),
        "compile_seconds": clock.compiling,
        "version": jax.__version__,
    }

    def work():
        jax.block_until_ready(program(*inputs))
        return 1

    return facts, work, program(*inputs)
