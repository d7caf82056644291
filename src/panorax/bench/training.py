"""Training a Llama on the CPU beside the same model in PyTorch eager: tokens per second and memory.

First losses of all contenders must agree. Products with weights, and with their gradients, take
about half of a step's CPU time; attention products, transpositions of heads and time, and
elementwise operations take most of the rest.

Weight gradients that are summed over batch and time as two axes make XLA copy both factors
transposed. `panorax.ops.dot` avoids the copies. One compiled call per step is slower than a chunk
of steps in one program; the training loop runs chunks.
"""

from pathlib import Path
from typing import Literal

import numpy as np

from panorax.bench import panorax_llama
from panorax.bench.rounds import compare
from panorax.bench.table import Table
from panorax.core.ranges import Count, checked
from panorax.core.study import family
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
    """A Llama and its batches of Python documentation; a token is a byte for any vocabulary."""

    n_layers: Count
    """transformer blocks [L]"""
    d_model: Count
    """model width [D]"""
    n_heads: Count
    """attention heads [H]"""
    d_ff: Count
    """hidden width of the MLP [F]"""
    context: Count
    """tokens per sequence [T]"""
    batch: Count
    """sequences per step [B]"""
    steps: Count
    """training steps per round, a multiple of 20"""
    vocab: Count = 257
    """tokens in the vocabulary [V]"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """dtype of products and activations; parameters are float32"""
    remat: Literal["none", "products", "layers"] = "none"
    """activations that our backward pass recomputes"""

    def settings(self) -> dict:
        """The argument of the contenders."""
        return vars(self) | {"n_kv_heads": self.n_heads, "positions": self.context}

    def flops(self) -> int:
        """Floating-point operations to train on a token: 6 per weight in a product, plus 12 L T D.

        The second term is attention, future tokens included.
        Source: Chowdhery et al. 2022, arXiv:2204.02311, appendix B.
        """
        layer = 4 * self.d_model**2 + 3 * self.d_model * self.d_ff
        weights = self.n_layers * layer + self.vocab * self.d_model
        return 6 * weights + 12 * self.n_layers * self.context * self.d_model


@checked
class Config:
    """The sizes and contenders of a comparison."""

    sizes: tuple[tuple[str, Size], ...]
    """name and size of each case"""
    contenders: tuple[str, ...] = (
        "panorax",
        "panorax, step by step",
        "torch",
        "torch, fused AdamW",
    )
    """keys of CONTENDERS"""
    against: str = "torch"
    """contender that ratios divide by"""
    rounds: Count = 5
    """counted rounds"""


def benchmark(cfg: Config, folder: Path) -> Table:
    """Compares training at every size; contenders share weights and batches."""
    table, contenders = Table("tokens/s"), {name: CONTENDERS[name] for name in cfg.contenders}
    environment = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # contenders share a GPU
    corpus, differences = text.dataset(text.Text(tokenizer="bytes"), 257), {}
    for name, size in cfg.sizes:
        subfolder = folder / name
        subfolder.mkdir()
        prepare(size.settings(), corpus.train, subfolder)
        measured = compare(contenders, size.settings(), subfolder, cfg.rounds, environment)
        table.add(name, measured, cfg.against)
        losses = [rounds.facts["losses"] for rounds in measured.values()]
        differences[name] = np.ptp(losses, axis=0).max()
    table.metrics |= family("{}_largest_loss_difference", differences)
    return table


def prepare(size: dict, tokens: np.ndarray, folder: Path) -> None:
    """Writes the first weights, and the batches of a round, (steps, B, T + 1) tokens."""
    panorax_llama.write(folder, size)
    batches = [
        data.windows(tokens, size["batch"], size["context"] + 1, 0, step)
        for step in range(size["steps"])
    ]
    np.save(folder / "batches.npy", np.stack(batches))
