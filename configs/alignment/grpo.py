"""A small Llama, tuned on imperfect answers, learns arithmetic from rewards of its own answers.

Papers: Shao et al. 2024 (arXiv:2402.03300); Yu et al. 2025 (arXiv:2503.14476).
Command: panorax run alignment/grpo      Your own prompts: --data.path FILE.jsonl
From a fine-tuned run: --init-from RUN      Other means: --aggregation dr_grpo --scale none
"""

from panorax.alignment.base import Base
from panorax.alignment.grpo import Config
from panorax.alignment.instructions import Data
from panorax.alignment.prompts import Data as Prompts
from panorax.core.config import Run
from panorax.core.optim import AdamW, Muon
from panorax.nets.decoders.llama import Model

CLAIMS = ()
OVERFITS = None  # the loss is 0 at the first update on every batch
ORACLE = "NumPy: advantages, losses and their means, by the formulas of trl"


def get_config() -> Config:
    return Config(
        model=Model(
            vocab=517, d_model=128, n_layers=4, n_heads=4, n_kv_heads=4, d_ff=384, unroll=4
        ),
        base=Base(
            data=Data(generated=40_000, spoiled=0.3),
            optim=Muon(peak_lr=0.02, adam_lr=4e-3, warmup=20, final_lr=1e-3),
            run=Run(steps=400, chunk=20),
        ),
        data=Prompts(families=("larger", "count", "add")),
        optim=AdamW(peak_lr=3e-4, warmup=10, final_lr=3e-5),
        run=Run(steps=50, chunk=10, eval_every=10),
        batch=32,
    )


def smoke() -> Config:
    constant = AdamW(peak_lr=1e-2, schedule="constant", warmup=2)
    return Config(
        model=Model(vocab=512, d_model=32, n_layers=2, n_heads=4, n_kv_heads=2, d_ff=64),
        base=Base(
            data=Data(generated=200, tested=12),
            optim=constant,
            run=Run(steps=4, chunk=4),
            batch=8,
            context=32,
        ),
        data=Prompts(generated=40, tested=8),
        optim=AdamW(peak_lr=1e-3, schedule="constant", warmup=2),
        run=Run(steps=8, chunk=4),
        batch=4,
        group=2,
        context=24,
        new=4,
        seeds=1,
    )
