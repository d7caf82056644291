"""A small Llama, tuned on imperfect answers, learns arithmetic from rewards of its own answers.

Papers: Shao et al. 2024 (arXiv:2402.03300); Yu et al. 2025 (arXiv:2503.14476).
Command: panorax run alignment/grpo      Your own prompts: --data.path FILE.jsonl
From a fine-tuned run: --init-from RUN      Other means: --aggregation dr_grpo --scale none
"""

from panorax.configs.alignment import dpo

from panorax.alignment.grpo import Config
from panorax.alignment.prompts import Data as Prompts
from panorax.core.config import Run
from panorax.core.optim import AdamW

CLAIMS = ()
OVERFITS = None  # the loss is 0 at the first update on every batch
ORACLE = "NumPy: advantages, losses and their means, by the formulas of trl"


def get_config() -> Config:
    return Config(
        model=dpo.get_config().model,
        base=dpo.get_config().base,
        data=Prompts(families=("larger", "count", "add")),
        optim=AdamW(peak_lr=3e-4, warmup=10, final_lr=3e-5),
        run=Run(steps=50, chunk=10, eval_every=10),
        batch=32,
    )


def smoke() -> Config:
    return Config(
        model=dpo.smoke().model,
        base=dpo.smoke().base,
        data=Prompts(generated=40, tested=8),
        optim=AdamW(peak_lr=1e-3, schedule="constant", warmup=2),
        run=Run(steps=8, chunk=4),
        batch=4,
        group=2,
        context=24,
        new=4,
        seeds=1,
    )
