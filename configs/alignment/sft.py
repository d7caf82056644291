"""A small Llama learns ten families of generated instructions, and answers held-out ones.

Papers: Ouyang et al. 2022 (arXiv:2203.02155), Wang et al. 2022 (arXiv:2212.10560).
Command: panorax run alignment/sft      Your own conversations: --data.path FILE.jsonl
From a folder or a run: --init-from FOLDER      Then: panorax chat RUN
"""

from panorax.alignment.instructions import Data
from panorax.alignment.sft import Config
from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.core.optim import AdamW, Muon
from panorax.nets.decoders.llama import Model

CLAIMS = (
    Claim(
        "exact_match",
        ">=",
        0.9,
        "Panorax: nine of ten greedy answers to held-out tasks are exactly right",
    ),
    Claim(
        "packing_gap",
        "<",
        1e-4,
        "Krell et al. 2021: packed rows have the gradients of conversations alone in a row",
    ),
    Claim(
        "masked_gradient",
        "==",
        0.0,
        "Panorax: a token outside the answers is read and has no loss of its own",
    ),
    Claim(
        "filled_share",
        ">=",
        0.95,
        "Krell et al. 2021: packing leaves at most 5% of the positions to padding",
    ),
)
ORACLE = "transformers: loss and all gradients of a Llama with labels of -100"


def get_config() -> Config:
    return Config(
        model=Model(
            vocab=517, d_model=128, n_layers=4, n_heads=4, n_kv_heads=4, d_ff=384, unroll=4
        ),
        data=Data(generated=60_000),
        optim=Muon(peak_lr=0.02, adam_lr=4e-3, warmup=20, final_lr=1e-3),
        run=Run(steps=1200, chunk=20, eval_every=200, save_every=600),
        batch=16,
        context=128,
    )


def smoke() -> Config:
    return Config(
        model=Model(vocab=512, d_model=32, n_layers=2, n_heads=4, n_kv_heads=2, d_ff=64),
        data=Data(generated=200, tested=12),
        optim=AdamW(peak_lr=1e-2, schedule="constant", warmup=2),
        run=Run(steps=8, chunk=4),
        batch=8,
        context=32,
    )
