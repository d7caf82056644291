"""Training on ever longer texts beside PyTorch eager: peak resident memory of the process while it trains, and tokens a second.

Both attend blockwise: `panorax.ops.blockwise` here, the flash kernel of `scaled_dot_product_attention` there. What a token then costs in memory is the
same however many come before it, so the memory above that of the shortest text is a straight line; with all logits at once it would be a parabola.
"""

from dataclasses import dataclass
from pathlib import Path

from panorax.bench import training
from panorax.bench.table import Table
from panorax.core.ranges import Count, check


@dataclass(frozen=True)
class Config:
    """A model, and the contexts in rising order, one text a batch; a token is a byte."""

    n_layers: Count = 2
    d_model: Count = 64
    n_heads: Count = 2
    d_ff: Count = 172
    contexts: tuple[Count, ...] = (1024, 2048, 4096, 8192)
    steps: Count = 5
    """of a round, at least 5"""
    rounds: Count = 5

    def __post_init__(self):
        check(self)


def benchmark(cfg: Config, folder: Path) -> Table:
    """All contexts in turn; `CONTENDER_memory_growth` is the memory that the last doubling of the context added over what the one before it had added:
    2 on a straight line, 4 on a parabola."""
    model = {name: getattr(cfg, name) for name in ("n_layers", "d_model", "n_heads", "d_ff", "steps")}
    sizes = tuple((str(context), training.Size(**model, context=context, batch=1)) for context in cfg.contexts)
    table = training.benchmark(training.Config(sizes, ("panorax, step by step", "torch"), cfg.rounds), folder)
    for name in ("panorax_step_by_step", "torch"):
        peaks = [table.metrics[f"{context}_{name}_working_mb"] for context in cfg.contexts]
        table.metrics[f"{name}_memory_growth"] = (peaks[-1] - peaks[-2]) / (peaks[-2] - peaks[-3])
    return table
