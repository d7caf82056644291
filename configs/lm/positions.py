"""Sinusoidal, learned, RoPE, ALiBi and NoPE, and scalings of RoPE to 8 times its training context.

Papers: Vaswani et al. 2017, Su et al. 2021 (arXiv:2104.09864), Press et al. 2022
(arXiv:2108.12409), Kazemnejad et al. 2023 (arXiv:2305.19466), Chen et al. 2023 (arXiv:2306.15595),
Peng et al. 2023 (arXiv:2309.00071).
Command: panorax run lm/positions
"""

from panorax.configs.lm.llama import smoke as language_model

from panorax.lm.positions import Config
from panorax.lm.variants import Setting

CLAIMS = ()
ORACLE = "transformers: slopes of ALiBi, frequencies of every scaling; closed forms of the decay"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    tiny = language_model()
    shared = {"data": tiny.data, "optim": tiny.optim, "run": tiny.run}
    setting = Setting(**shared, batch=tiny.batch, context=tiny.context, held_out=4)
    sizes = {"factor": 2, "held_out": 64, "distances": 64, "head_dim": 16}
    return Config(model=tiny.model, setting=setting, **sizes)
