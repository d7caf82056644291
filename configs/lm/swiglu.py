"""SwiGLU and the GLU family against relu, gelu and squared relu at equal parameters.

Papers: Shazeer 2020 (arXiv:2002.05202), Dauphin et al. 2017 (arXiv:1612.08083), So et al. 2021
(arXiv:2109.08668).
Command: panorax run lm/swiglu
"""

from panorax.configs.lm.llama import smoke as language_model

from panorax.core.config import Run
from panorax.lm.swiglu import Config
from panorax.lm.variants import Setting

CLAIMS = ()
ORACLE = "the equations in numpy; parameters of published layers"


def get_config() -> Config:
    return Config(setting=Setting(run=Run(steps=300, chunk=50)))


def smoke() -> Config:
    tiny = language_model()
    shared = {"data": tiny.data, "optim": tiny.optim, "run": tiny.run}
    setting = Setting(**shared, batch=tiny.batch, context=tiny.context, held_out=4)
    return Config(model=tiny.model, setting=setting, seeds=2)
