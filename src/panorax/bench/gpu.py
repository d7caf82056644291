"""Training a Llama on one GPU in bfloat16 beside `torch.compile`.

The GPU's matrix-product speed is the second measure:

    share = tokens per second * operations per token / operations per second of a matrix product

Operations per token are `panorax.bench.training.Size.flops`; recomputed activations do not count
twice. The product of two square bfloat16 matrices is timed in the same run.
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
from panorax.core.study import family
from panorax.engine.loop import Clock

TIMES = 50


@checked
class Config:
    """Sizes, contenders, and the reference matrix product."""

    sizes: tuple[tuple[str, training.Size], ...]
    """name and size of each case"""
    contenders: tuple[str, ...] = ("panorax", "torch, compiled")
    """keys of `panorax.bench.training.CONTENDERS`; ratios divide by the last"""
    matrix: Count = 8192
    """rows of the square matrices in the reference product"""
    backend: str = "gpu"
    """JAX backend that the comparison requires"""
    rounds: Count = 5
    """counted rounds"""


def benchmark(cfg: Config, folder: Path) -> Table:
    """Times matrix products, then compares training at every size.

    The metric `NAME_share` is the share of the product's speed that our training reaches. Raises
    UserError if JAX runs on another backend than `cfg.backend`.
    """
    contender = {"products": "panorax.bench.gpu:products"}
    measured = compare(contender, {"matrix": cfg.matrix}, folder, cfg.rounds)["products"]
    backend, speed = measured.facts["backend"], spread(measured.rates)["median"]
    if backend != cfg.backend:
        raise UserError(
            f"this comparison needs a {cfg.backend}, but JAX runs on a {backend}; on a machine with"
            f" a {cfg.backend}, run `pip install -e .[gpu]`"
        )
    table = training.benchmark(
        training.Config(cfg.sizes, cfg.contenders, against=cfg.contenders[-1], rounds=cfg.rounds),
        folder,
    )
    rates = {
        row["case"]: row["rate"]["median"] for row in table.rows if row["contender"] == "panorax"
    }
    table.metrics["products_tflops"] = speed / 1e12
    shares = {name: rates[name] * size.flops() / speed for name, size in cfg.sizes}
    table.metrics |= family("{}_share", shares)
    return table


def products(setting: dict, folder: Path):
    """Repeats x <- x w / sqrt(n) in one program; units are floating-point operations."""
    n, clock = setting["matrix"], Clock()
    x, w = (
        jax.random.normal(key, (n, n), jnp.bfloat16) for key in jax.random.split(jax.random.key(0))
    )
    multiply = lambda x, _: ((x @ w) * jnp.bfloat16(n**-0.5), None)
    program = clock.compile(lambda x: jax.lax.scan(multiply, x, length=TIMES)[0], x)
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
