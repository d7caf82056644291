"""Training on ever longer texts beside PyTorch eager: memory, and tokens a second.

Both attend blockwise: `panorax.ops.blockwise` here, the flash kernel of `scaled_dot_product_attention` there. What a token then costs in memory is the
same however many come before it, so what a step allocates is a straight line; with all logits at once it would be a parabola, 1 GB at 8,192 tokens for
two heads and their gradients. The peak resident memory of the process shows it less well, for up to 4,096 tokens compiling needs more than training.
At 8,192 tokens nine tenths of the time are attention: PyTorch's kernel has both cores at work, ours, of small products one after the other, little more than one.
"""

from pathlib import Path

from panorax.bench import training
from panorax.bench.table import Table
from panorax.core.ranges import Count, checked


@checked
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


def benchmark(cfg: Config, folder: Path) -> Table:
    """All contexts in turn; `memory_growth` is what the last doubling of the context added to our temporaries over what the one before it had added:
    2 on a straight line, 4 on a parabola."""
    model = {
        name: getattr(cfg, name) for name in ("n_layers", "d_model", "n_heads", "d_ff", "steps")
    }
    sizes = tuple(
        (str(context), training.Size(**model, context=context, batch=1)) for context in cfg.contexts
    )
    table = training.benchmark(
        training.Config(sizes, ("panorax, step by step", "torch"), rounds=cfg.rounds), folder
    )
    used = [row["temporaries_mb"] for row in table.rows if "temporaries_mb" in row]
    table.metrics["memory_growth"] = (used[-1] - used[-2]) / (used[-2] - used[-3])
    return table
