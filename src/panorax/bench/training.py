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

from pathlib import Path
from typing import Literal

import numpy as np

from panorax.bench import panorax_llama
from panorax.bench.rounds import compare
from panorax.bench.table import Table
from panorax.core.ranges import Count, checked
from panorax.data import batches as data
from panorax.data import text

CONTENDERS = {
    "panorax": "panorax.bench.panorax_llama:chunks",
    "panorax, step by step": "panorax.bench.panorax_llama:step_by_step",
    "torch": "panorax.bench.torch_llama:eager",
    "torch, fused AdamW": "panorax.bench.torch_llama:fused",
    "torch, compiled": "panorax.bench.torch_llama:compiled",
}


@checked
class Size:
    """A model and what it is trained on: Python documentation, a byte a token however large the vocabulary is."""

    n_layers: Count
    d_model: Count
    n_heads: Count
    d_ff: Count
    context: Count
    batch: Count
    steps: Count
    """of a round, a multiple of 20"""
    vocab: Count = 257
    dtype: Literal["float32", "bfloat16"] = "float32"
    """of products and activations; parameters are float32"""
    remat: Literal["none", "products", "layers"] = "none"
    """what our backward pass computes again"""

    def settings(self) -> dict:
        """As the contenders read it."""
        return vars(self) | {"n_kv_heads": self.n_heads, "positions": self.context}

    def flops(self) -> int:
        """Of training on a token: 6 for each weight in a product, and 12 L T D for attention, future tokens counted too (Chowdhery et al. 2022, arXiv:2204.02311,
        appendix B)."""
        weights = (
            self.n_layers * (4 * self.d_model**2 + 3 * self.d_model * self.d_ff)
            + self.vocab * self.d_model
        )
        return 6 * weights + 12 * self.n_layers * self.context * self.d_model


@checked
class Config:
    """Sizes by name, and who takes part."""

    sizes: tuple[tuple[str, Size], ...]
    contenders: tuple[str, ...] = (
        "panorax",
        "panorax, step by step",
        "torch",
        "torch, fused AdamW",
    )
    against: str = "torch"
    rounds: Count = 5


def benchmark(cfg: Config, folder: Path) -> Table:
    """Every size in turn."""
    table, contenders = Table("tokens/s"), {name: CONTENDERS[name] for name in cfg.contenders}
    environment = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # contenders share a GPU
    corpus = text.dataset(text.Text(tokenizer="bytes"), 257)
    for name, size in cfg.sizes:
        here = folder / name
        here.mkdir()
        prepare(size.settings(), corpus.train, here)
        measured = compare(contenders, size.settings(), here, cfg.rounds, environment)
        table.add(name, measured, cfg.against)
        losses = [m.facts["losses"] for m in measured.values()]
        table.metrics[f"{name}_largest_loss_difference"] = float(np.ptp(losses, axis=0).max())
    return table


def prepare(size: dict, tokens: np.ndarray, folder: Path) -> None:
    """The weights that all start from, and the batches of a round (steps, B, T + 1)."""
    panorax_llama.write(folder, size)
    batches = [
        data.windows(tokens, size["batch"], size["context"] + 1, 0, step)
        for step in range(size["steps"])
    ]
    np.save(folder / "batches.npy", np.stack(batches))
