"""Every kernel beside XLA and PyTorch: forward and backward, time, ceilings, memory and error.

A contender computes results and gradients of one case of `pallas_kernels` in one compiled program
(PyTorch: eager), on random arguments that all contenders share.

    CASE_panorax_ratio      calls per second of the implementation that this machine prefers, over
                            those of the definition compiled by XLA
    CASE_torch_ratio        calls per second of PyTorch's own kernel, over the same
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
from panorax.bench.rounds import compare, spread
from panorax.bench.table import Table
from panorax.core.errors import UserError
from panorax.core.ranges import Count, checked
from panorax.engine.loop import Clock
from panorax.maths.timing import attainable, copy_rate, product_rate

HERE, TORCH = "panorax.bench.kernels:", "panorax.bench.torch_kernels:"
CONTENDERS = {"panorax": HERE + "panorax", "xla": HERE + "xla", "torch": TORCH + "torch_kernel"}
TORCH_HAS = (
    "cross_entropy",
    "flash_attention",
    "layer_norm",
    "matmul",
    "rms_norm",
    "softmax",
    "swiglu",
)
"""operations of `panorax.bench.torch_kernels`"""


@checked
class Config:
    cases: tuple[tuple[str, str], ...]
    """operation and name of its case"""
    contenders: tuple[str, ...] = ("panorax", "xla", "torch")
    """keys of CONTENDERS; torch is left out for operations that it does not have"""
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
    table = Table("calls/s", metrics={"gflops": flops / 1e9, "copy_gb_per_s": bandwidth / 1e9})
    environment = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # contenders share a GPU
    for operation, case in cfg.cases:
        setting = {"operation": operation, "case": case}
        contenders = {
            contender: CONTENDERS[contender]
            for contender in cfg.contenders
            if contender != "torch" or operation in TORCH_HAS
        }
        measured = compare(contenders, setting, folder, cfg.rounds, environment)
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


def word(operation: str, case: str) -> str:
    """The name of a case in metrics: softmax and `odd width` are softmax_odd_width."""
    return "_".join([operation, *case.replace(",", "").lower().split()])


def ceilings(setting: dict, folder: Path):
    """The rates of a matrix product and of a copy, as facts."""
    facts = {
        "backend": jax.default_backend(),
        "flops": product_rate(setting["matrix"], jnp.dtype(setting["dtype"])),
        "bandwidth": copy_rate(2**20 * setting["copy"], 2**32),
        "version": jax.__version__,
    }
    return facts, lambda: 1


def chosen(setting: dict) -> tuple[Operation, Case]:
    """The operation and the case of a setting."""
    operation = pallas_kernels.operation(setting["operation"])
    [case] = [case for case in operation.cases if case.name == setting["case"]]
    return operation, case


def panorax(setting: dict, folder: Path):
    """The implementation that this machine prefers; its error is measured before the turns."""
    operation, case = chosen(setting)
    facts, work, answers = _timed(operation, case, operation.run)
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
    return _timed(operation, case, operation.reference)[:2]


def _wide(x):
    return x.astype(jnp.float32) if x.dtype in (jnp.bfloat16, jnp.float16) else x


def _timed(operation: Operation, case: Case, run):
    """Facts and work of a contender, and its results, gradients and cotangents."""
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
