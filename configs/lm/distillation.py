"""A small Llama learns from a larger one on Python's sources and its language reference.

Papers: Hinton et al. 2015 (arXiv:1503.02531), Agarwal et al. 2024 (arXiv:2306.13649).
Command: panorax run lm/distillation      Your own teacher: --init-from FOLDER
"""

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.core.optim import AdamW
from panorax.data.text import Text
from panorax.lm.distillation import Config, Teacher
from panorax.nets.decoders.llama import Model

CLAIMS = (
    Claim(
        "smallest_gain",
        ">",
        0.0,
        "Hinton et al. 2015: a student is better with a teacher than alone after as many tokens, "
        "for each of 5 seeds (bits per byte)",
    ),
    Claim(
        "gain_in_errors",
        ">=",
        4.0,
        "Hinton et al. 2015: the mean gain over 5 seeds is at least 4 standard errors",
    ),
)
ORACLE = "scipy: divergences and the whole loss in float64"


def get_config() -> Config:
    return Config(
        model=Model(
            vocab=2048, d_model=64, n_layers=2, n_heads=4, n_kv_heads=2, d_ff=192, unroll=2
        ),
        teacher=Teacher(
            model=Model(
                vocab=2048, d_model=128, n_layers=4, n_heads=4, n_kv_heads=2, d_ff=384, unroll=4
            ),
            optim=AdamW(peak_lr=4e-3, final_lr=2e-4, warmup=50, b2=0.98, weight_decay=0.1),
            run=Run(steps=2000, chunk=20),
        ),
        optim=AdamW(peak_lr=8e-3, final_lr=2e-4, warmup=50, b2=0.98, weight_decay=0.1),
        run=Run(steps=600, chunk=20),
        batch=8,
        context=128,
    )


def smoke() -> Config:
    constant = AdamW(peak_lr=1e-2, schedule="constant", warmup=2)
    return Config(
        model=Model(vocab=512, d_model=16, n_layers=1, n_heads=2, n_kv_heads=1, d_ff=32),
        teacher=Teacher(
            model=Model(vocab=512, d_model=32, n_layers=2, n_heads=4, n_kv_heads=2, d_ff=64),
            optim=constant,
            run=Run(steps=4, chunk=4),
        ),
        data=Text(tokenizer="bytes", at_most=6),
        optim=constant,
        run=Run(steps=8, chunk=4),
        features=0.1,
        seeds=2,
        batch=4,
        context=16,
        stride=16,
    )
