"""Training on ever longer contexts beside PyTorch eager: memory and tokens per second.

Both compute attention blockwise: `panorax.ops.blockwise` here, the flash kernel of
`scaled_dot_product_attention` in PyTorch. Memory per token is then independent of the context, so
the allocation of a step grows linearly. With all logits at once it would grow quadratically. The
peak resident memory of the process shows this less clearly, because compilation needs more memory
than training on short contexts.

At long contexts attention takes most of the time. The record divides each rate by the CPU-seconds,
which shows how many cores each program keeps busy.
"""

from pathlib import Path

from panorax.bench import training
from panorax.bench.table import Table
from panorax.core.ranges import Count, checked


@checked
class Config:
    """A Llama and the contexts that it trains on, one text per batch; a token is a byte."""

    n_layers: Count = 2
    """transformer blocks [L]"""
    d_model: Count = 64
    """model width [D]"""
    n_heads: Count = 2
    """attention heads [H]"""
    d_ff: Count = 172
    """hidden width of the MLP [F]"""
    contexts: tuple[Count, ...] = (1024, 2048, 4096, 8192)
    """contexts in tokens, each twice the previous"""
    steps: Count = 5
    """training steps per round, at least 5"""
    rounds: Count = 5
    """counted rounds"""


def benchmark(cfg: Config, folder: Path) -> Table:
    """Compares training at every context.

    The metric `memory_growth` is the memory added to our temporaries by the last doubling of the
    context, divided by the memory added by the doubling before: 2 is linear, 4 quadratic.
    """
    names = ("n_layers", "d_model", "n_heads", "d_ff", "steps")
    model = {name: getattr(cfg, name) for name in names}
    sizes = tuple(
        (str(context), training.Size(**model, context=context, batch=1)) for context in cfg.contexts
    )
    contenders = ("panorax, step by step", "torch")
    table = training.benchmark(training.Config(sizes, contenders, rounds=cfg.rounds), folder)
    used = [row["temporaries_mb"] for row in table.rows if "temporaries_mb" in row]
    table.metrics["memory_growth"] = (used[-1] - used[-2]) / (used[-2] - used[-3])
    return table
