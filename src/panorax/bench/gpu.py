"""Training a Llama on one GPU in bfloat16 beside PyTorch's compiler, and what share that is of the speed at which the GPU multiplies matrices.

The share is the operations that training on the tokens of a second takes (`panorax.bench.training.Size.flops`) over those a second of a product of two
square matrices in bfloat16, measured in the same run. Nothing that is computed twice counts twice.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from panorax.bench import training
from panorax.bench.rounds import compare, spread
from panorax.bench.table import Table
from panorax.core.errors import UserError
from panorax.core.ranges import Count, checked
from panorax.engine.loop import Clock

TIMES = 50


@checked
class Config:
    """Sizes by name; `matrix` is the side of the matrices whose product is the measure."""

    sizes: tuple[tuple[str, training.Size], ...]
    contenders: tuple[str, ...] = ("panorax", "torch, compiled")
    matrix: Count = 8192
    backend: str = "gpu"
    """where it is to run"""
    rounds: Count = 5


def benchmark(cfg: Config, folder: Path) -> Table:
    """The products, then every size; `NAME_share` is the share of their speed that training reached. Raises UserError where there is no GPU."""
    measured = compare(
        {"products": "panorax.bench.gpu:products"}, {"matrix": cfg.matrix}, folder, cfg.rounds
    )["products"]
    if measured.facts["backend"] != cfg.backend:
        raise UserError(
            f"this comparison needs a {cfg.backend}, JAX sees a {measured.facts['backend']} here; `pip install -e .[gpu]` where there is one"
        )
    table = training.benchmark(
        training.Config(cfg.sizes, cfg.contenders, against=cfg.contenders[-1], rounds=cfg.rounds),
        folder,
    )
    rates = {
        row["case"]: row["rate"]["median"] for row in table.rows if row["contender"] == "panorax"
    }
    table.metrics["products_tflops"] = spread(measured.rates)["median"] / 1e12
    for name, size in cfg.sizes:
        table.metrics[f"{name}_share"] = (
            rates[name] * size.flops() / spread(measured.rates)["median"]
        )
    return table


def products(setting: dict, folder: Path):
    """x <- x w / sqrt(n), `TIMES` times in one program; units are floating point operations."""
    n, clock = setting["matrix"], Clock()
    x, w = (
        jax.random.normal(key, (n, n), jnp.bfloat16) for key in jax.random.split(jax.random.key(0))
    )
    again = lambda x, _: ((x @ w) * jnp.bfloat16(n**-0.5), None)
    program = clock.compile(lambda x: jax.lax.scan(again, x, length=TIMES)[0], x)
    size = float(np.std(np.asarray(program(x), np.float32)))
    facts = {
        "backend": jax.default_backend(),
        "size": size,
        "compile_seconds": clock.compiling,
        "version": jax.__version__,
    }

    def work():
        jax.block_until_ready(program(x))
        return 2 * n**3 * TIMES

    return facts, work
