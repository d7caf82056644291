"""LoRA adapts a small Llama from Python's sources to the English of Python's language reference.

The run first trains the base on the standard library's sources and then freezes it.
Paper: Hu et al. 2021 (arXiv:2106.09685).
Command: panorax run lm/lora      Another base: panorax run lm/lora --init-from FOLDER
"""

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.core.optim import AdamW
from panorax.data.text import Text
from panorax.lm.lora import Adapter, Base, Config
from panorax.nets.decoders.llama import Model

MATRICES = ("q", "k", "v", "o", "gate", "up", "down")
CLAIMS = (
    Claim(
        "recovered_share",
        ">=",
        0.8,
        "Hu et al. 2021: LoRA performs on par with full fine-tuning (80% of its gain)",
    ),
    Claim(
        "trained_share",
        "<",
        0.05,
        "Hu et al. 2021: LoRA trains a small share of the parameters (under 5%)",
    ),
    Claim(
        "start_gap",
        "==",
        0.0,
        "Hu et al. 2021, section 4.1: at b = 0, LoRA computes exactly the base model",
    ),
    Claim(
        "merged_gap",
        "<=",
        1e-5,
        "Hu et al. 2021, section 4.1: merging w + (alpha / r) a b changes no logit",
    ),
    Claim(
        "matrix_reduction",
        "==",
        256.0,
        "Closed form: at d = 4096 and r = 8, LoRA divides parameters by d^2 / (2 d r) = 256",
    ),
    Claim(
        "source_bits_lora",
        "<",
        "source_bits_full",
        "Biderman et al. 2024: LoRA forgets the source text less than full fine-tuning",
    ),
)
ORACLE = "peft: logits, gradients of all factors and merged weights of a Llama of transformers"


def get_config() -> Config:
    return Config(
        model=Model(
            vocab=2048, d_model=128, n_layers=4, n_heads=4, n_kv_heads=2, d_ff=384, unroll=4
        ),
        base=Base(
            data=Text(part="sources", held_out=0.02),
            optim=AdamW(peak_lr=4e-3, final_lr=2e-4, warmup=50, b2=0.98, weight_decay=0.1),
            run=Run(steps=1500, chunk=20),
        ),
        adapter=Adapter(rank=4, alpha=32.0, targets=MATRICES),
        data=Text(part="reference", held_out=0.1),
        optim=AdamW(peak_lr=1e-2, warmup=20, b2=0.98),
        run=Run(steps=500, chunk=20, eval_every=100, save_every=250),
        full=AdamW(peak_lr=2e-3, warmup=20, b2=0.98),
        batch=8,
        context=128,
    )


def smoke() -> Config:
    constant = AdamW(peak_lr=1e-2, schedule="constant", warmup=2)
    return Config(
        model=Model(vocab=512, d_model=32, n_layers=2, n_heads=4, n_kv_heads=2, d_ff=64),
        base=Base(
            data=Text(tokenizer="bytes", part="sources", at_most=6),
            optim=constant,
            run=Run(steps=4, chunk=4),
        ),
        adapter=Adapter(rank=4, alpha=8.0, targets=("q", "o", "down")),
        data=Text(part="reference", at_most=5),
        optim=constant,
        run=Run(steps=8, chunk=4),
        full=constant,
        batch=4,
        context=16,
        stride=16,
    )
