"""Llama 2 70B (Touvron et al. 2023, arXiv:2307.09288, table 1): 68,976,648,192 parameters.

Command, on a mesh with enough memory: panorax run lm/llama2_70b --mesh fsdp=N --data.path FOLDER
"""

import dataclasses

from panorax.configs.lm import llama2_7b
from panorax.configs.lm.llama import smoke as smoke

from panorax.lm.language_model import Config
from panorax.nets.decoders.llama import Model

PARAMETERS = 68_976_648_192


def get_config() -> Config:
    model = Model(
        vocab=32_000,
        d_model=8192,
        n_layers=80,
        n_heads=64,
        n_kv_heads=8,
        d_ff=28_672,
        tied=False,
        dtype="bfloat16",
        remat="layers",
    )
    return dataclasses.replace(llama2_7b.get_config(), model=model)
