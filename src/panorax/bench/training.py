"""Training a Llama on the CPU beside the same model in PyTorch eager: tokens a second, memory, and first losses that agree.

Where the time of a step goes, in shares of what both cores spend, forward, backward and AdamW (the profiler's count of every operation of the compiled step):

                                                                nanogpt    larger    tiny
    products with weights, and with their gradients               53 %       48 %     45 %
    products of attention, a batch of heads                        8 %       16 %      9 %
    heads and time changing places before and after these         11 %       14 %     11 %
    softmax (its exponentials)                                     3 %        6 %      3 %
    RMS norms (their inverse roots)                                4 %        4 %      4 %
    sums and largest values of rows                                7 %        2 %      6 %
    all else elementwise: SwiGLU, rotations, losses, AdamW        13 %       11 %     23 %

What made it slow before: gradients of weights, summed over batch and time as two axes, for which XLA's compiler copied both factors transposed
(`panorax.ops.dot`: steps are a tenth to a quarter shorter without). One call a step is slower than a chunk of steps in one program, which is what the loop runs.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from panorax.bench import panorax_llama
from panorax.bench.rounds import compare
from panorax.bench.table import Table
from panorax.core import data
from panorax.core.ranges import Count, check
from panorax.lm import text

CONTENDERS = {
    "panorax": "panorax.bench.panorax_llama:chunks",
    "panorax, step by step": "panorax.bench.panorax_llama:step_by_step",
    "torch": "panorax.bench.torch_llama:eager",
    "torch, fused AdamW": "panorax.bench.torch_llama:fused",
}


@dataclass(frozen=True)
class Size:
    """A model and what it is trained on, with a byte of Python documentation a token."""

    n_layers: Count
    d_model: Count
    n_heads: Count
    d_ff: Count
    context: Count
    batch: Count
    steps: Count
    """of a round, a multiple of 20"""

    def settings(self) -> dict:
        """As the contenders read it."""
        return vars(self) | {"vocab": 257, "n_kv_heads": self.n_heads, "positions": self.context}


@dataclass(frozen=True)
class Config:
    """Sizes by name, and who takes part."""

    sizes: tuple[tuple[str, Size], ...]
    contenders: tuple[str, ...] = tuple(CONTENDERS)
    rounds: Count = 5

    def __post_init__(self):
        check(self)


def benchmark(cfg: Config, folder: Path) -> Table:
    """Every size in turn."""
    table, contenders = Table("tokens/s"), {name: CONTENDERS[name] for name in cfg.contenders}
    corpus = text.dataset(text.Text(tokenizer="bytes"), 257)
    for name, size in cfg.sizes:
        here = folder / name
        here.mkdir()
        prepare(size.settings(), corpus.train, here)
        measured = compare(contenders, size.settings(), here, cfg.rounds)
        table.add(name, measured, against="torch")
        losses = [m.facts["losses"] for m in measured.values()]
        table.metrics[f"{name}_largest_loss_difference"] = float(np.ptp(losses, axis=0).max())
    return table


def prepare(size: dict, tokens: np.ndarray, folder: Path) -> None:
    """The weights that all start from, and the batches of a round (steps, B, T + 1)."""
    panorax_llama.write(folder, size)
    batches = [data.windows(tokens, size["batch"], size["context"] + 1, 0, step) for step in range(size["steps"])]
    np.save(folder / "batches.npy", np.stack(batches))
