"""Greedy generation with a key/value cache on the CPU, tokens a second: `transformers` generate, a loop in PyTorch, and `panorax generate`.

Where the time of a step goes, at 8 rows (0.36 ms a token, 2.9 ms a step): 1.4 ms are the products with the 43 MB of weights, read once a step by XLA's
compiled scan (PyTorch's own products take 3.6 ms, one call each); 1.1 ms is attention over the whole room of the cache, and 0.4 ms norms, rotary positions
and the choice of the token. Attention took 2.7 ms while the cache held a token's heads together, (S, G, K): the batched product of XLA wants the
tokens of a head together, (G, S, K), and copied every layer's cache into that order first. Writing the new key and value in place costs 0.01 ms.
At one row the products are matrix times vector, which XLA compiles itself: 1.3 of 1.5 ms.
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
    """A model of random weights, and how many prompts are continued at once; a token is a byte."""

    n_layers: Count = 6
    d_model: Count = 384
    n_heads: Count = 6
    d_ff: Count = 1024
    batches: tuple[Count, ...] = (1, 8)
    prompt: Count = 32
    new: Count = 192
    rounds: Count = 7

    def settings(self) -> dict:
        """As the contenders read it."""
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
    """Every batch size in turn; all contenders continue the same prompts, of Python documentation, with the same weights."""
    table = Table("tokens/s")
    corpus = text.dataset(text.Text(tokenizer="bytes"), 257).train
    for batch in cfg.batches:
        here, size = folder / str(batch), cfg.settings() | {"batch": batch}
        panorax_llama.write(here, size)
        np.save(here / "prompts.npy", np.reshape(corpus[: batch * cfg.prompt], (batch, cfg.prompt)))
        measured = compare(CONTENDERS, size, here, cfg.rounds)
        table.add(f"batch{batch}", measured, against="torch")
        ours, *others = (np.array(m.facts["tokens"]) for m in measured.values())
        table.metrics[f"batch{batch}_ratio_of_panorax_to_transformers"] = (
            table.metrics[f"batch{batch}_panorax_ratio"]
            / table.metrics[f"batch{batch}_transformers_ratio"]
        )
        table.metrics[f"batch{batch}_tokens_that_differ"] = float(
            sum(np.sum(ours != theirs) for theirs in others)
        )
    return table
