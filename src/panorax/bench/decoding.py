"""Greedy generation with a key/value cache on the CPU: Panorax, `transformers` and a PyTorch loop.

A step of 8 rows spends most of its time in products with the weights, which XLA's compiled scan
reads once per step, and in attention over the whole capacity of the cache. Norms, rotary positions
and the argmax take the rest. The cache has the layout (G, S, K) of XLA's batched product: a cache
laid out as (S, G, K) would be copied in every layer and step. The new key and value are written in
place. At one row the products are matrix-vector products, which XLA compiles itself.
"""

from pathlib import Path

import numpy as np

from panorax.bench import panorax_llama
from panorax.bench.rounds import compare
from panorax.bench.table import Table
from panorax.core.ranges import Count, checked
from panorax.data import text

CONTENDERS = {
    "panorax": "panorax.bench.panorax_llama:generation",
    "torch": "panorax.bench.torch_llama:generation",
    "transformers": "panorax.bench.transformers_llama:generation",
}


@checked
class Config:
    """A Llama with random weights and the prompts that it continues; a token is a byte."""

    n_layers: Count = 6
    """transformer blocks [L]"""
    d_model: Count = 384
    """model width [D]"""
    n_heads: Count = 6
    """attention heads [H]"""
    d_ff: Count = 1024
    """hidden width of the MLP [F]"""
    batches: tuple[Count, ...] = (1, 8)
    """prompts continued at once [B], one case each"""
    prompt: Count = 32
    """tokens per prompt"""
    new: Count = 192
    """tokens generated per prompt"""
    rounds: Count = 7
    """counted rounds"""

    def settings(self) -> dict:
        """The argument of the contenders, without the batch."""
        positions = self.prompt + self.new
        model = {name: getattr(self, name) for name in ("n_layers", "d_model", "n_heads", "d_ff")}
        return model | {
            "n_kv_heads": self.n_heads,
            "vocab": 257,
            "positions": positions,
            "context": positions,
            "new": self.new,
        }


def benchmark(cfg: Config, folder: Path) -> Table:
    """Compares generation at every batch size; contenders share weights and prompts.

    The prompts are Python documentation. `BATCH_tokens_that_differ` counts the tokens of both
    competitors that differ from ours.
    """
    table = Table("tokens/s")
    corpus = text.dataset(text.Text(tokenizer="bytes"), 257).train
    for batch in cfg.batches:
        case, subfolder, size = f"batch{batch}", folder / str(batch), cfg.settings()
        size["batch"] = batch
        panorax_llama.write(subfolder, size)
        prompts = np.reshape(corpus[: batch * cfg.prompt], (batch, cfg.prompt))
        np.save(subfolder / "prompts.npy", prompts)
        measured = compare(CONTENDERS, size, subfolder, cfg.rounds)
        table.add(case, measured, against="torch")
        ours, *others = (np.array(rounds.facts["tokens"]) for rounds in measured.values())
        metrics = table.metrics
        metrics[f"{case}_ratio_of_panorax_to_transformers"] = (
            metrics[f"{case}_panorax_ratio"] / metrics[f"{case}_transformers_ratio"]
        )
        differ = sum(np.sum(ours != theirs) for theirs in others)
        metrics[f"{case}_tokens_that_differ"] = float(differ)
    return table
