"""Key/value caches: size calculator, rows, rings and 8 bits, beside the full pass and allocations.

Papers: Shazeer 2019 (arXiv:1911.02150), Pope et al. 2022 (arXiv:2211.05102), DeepSeek-V2
(arXiv:2405.04434), Xiao et al. 2023 (arXiv:2309.17453).
Command: panorax run lm/kv_cache
"""

from panorax.configs.lm.llama import smoke as language_model

from panorax.lm.kv_cache import Config
from panorax.lm.variants import Setting

CLAIMS = ()
ORACLE = "closed forms of the sizes; the full pass of the same decoder"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    tiny = language_model()
    shared = {"data": tiny.data, "optim": tiny.optim, "run": tiny.run}
    setting = Setting(**shared, batch=tiny.batch, context=tiny.context, held_out=4)
    return Config(model=tiny.model, setting=setting, windows=(4, 8), sinks=2, room=12, rows=2)
