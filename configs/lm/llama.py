"""A small Llama trained on Python's standard library sources and its language reference.

Paper: Touvron et al. 2023 (arXiv:2302.13971), Llama 3 (arXiv:2407.21783).
Command: panorax run lm/llama      Your own text: panorax run lm/llama --data.path FILE_OR_FOLDER
Other parts: --model.attention latent, --model.positions alibi, --model.feed-forward plain
"""

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.core.optim import AdamW
from panorax.data.text import Text
from panorax.lm.language_model import Config
from panorax.nets.decoders.llama import Model

CLAIMS = (
    Claim(
        "eval_bits_per_byte",
        "<",
        "ngram_bits_per_byte",
        "Panorax: a Transformer beats an interpolated order-5 byte n-gram on the same text",
    ),
    Claim(
        "eval_bits_per_byte",
        "<",
        "xz_bits_per_byte",
        "Panorax: a Transformer beats xz -9e with the training text as prefix",
    ),
)
ORACLE = (
    "transformers: logits and all gradients of Llama 2 and 3, Mistral, Qwen 2 and 3, Gemma 1 "
    "and 2; parameter counts of Llama 2 and 3"
)


def get_config() -> Config:
    return Config(
        model=Model(
            vocab=8192, d_model=128, n_layers=4, n_heads=4, n_kv_heads=2, d_ff=384, unroll=4
        ),
        data=Text(),
        optim=AdamW(peak_lr=4e-3, final_lr=2e-4, warmup=50, b2=0.98, weight_decay=0.1),
        run=Run(steps=4000, chunk=20, eval_every=1000, save_every=500),
        batch=8,
        context=128,
    )


def smoke() -> Config:
    return Config(
        model=Model(vocab=512, d_model=32, n_layers=2, n_heads=4, n_kv_heads=2, d_ff=64),
        data=Text(tokenizer="bytes", at_most=6),
        optim=AdamW(peak_lr=1e-2, schedule="constant", warmup=2),
        run=Run(steps=8, chunk=4),
        batch=4,
        context=16,
        stride=16,
    )
