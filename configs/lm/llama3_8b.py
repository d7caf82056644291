"""Llama 3 8B (arXiv:2407.21783, table 3): 8,030,261,248 parameters.

Command, on a mesh with enough memory: panorax run lm/llama3_8b --mesh fsdp=N --data.path FOLDER
"""

import dataclasses

from panorax.configs.lm import llama2_7b
from panorax.configs.lm.llama import smoke as smoke

from panorax.lm.language_model import Config
from panorax.nets.decoders.llama import Model
from panorax.ops.positions import Rope

PARAMETERS = 8_030_261_248


def get_config() -> Config:
    model = Model(
        vocab=128_256,
        d_model=4096,
        n_layers=32,
        n_heads=32,
        n_kv_heads=8,
        d_ff=14_336,
        positions=Rope(500_000.0),
        tied=False,
        dtype="bfloat16",
        remat="layers",
    )
    return dataclasses.replace(llama2_7b.get_config(), model=model, context=8192, stride=8192)
