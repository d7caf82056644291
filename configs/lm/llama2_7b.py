"""Llama 2 7B (Touvron et al. 2023, arXiv:2307.09288, table 1): 6,738,415,616 parameters.

Command, on a mesh with enough memory: panorax run lm/llama2_7b --mesh fsdp=N --data.path FOLDER
"""

from panorax.configs.lm.llama import smoke as smoke

from panorax.core.config import Run
from panorax.core.optim import AdamW
from panorax.lm.language_model import Config
from panorax.nets.decoders.llama import Model

PARAMETERS = 6_738_415_616


def get_config() -> Config:
    return Config(
        model=Model(
            vocab=32_000,
            d_model=4096,
            n_layers=32,
            n_heads=32,
            n_kv_heads=32,
            d_ff=11_008,
            tied=False,
            dtype="bfloat16",
            remat="layers",
        ),
        optim=AdamW(peak_lr=3e-4, final_lr=3e-5, warmup=2000, weight_decay=0.1),
        run=Run(steps=500_000, chunk=1, eval_every=5000, save_every=1000),
        batch=1024,
        context=4096,
        stride=4096,
        accumulate=8,
    )
