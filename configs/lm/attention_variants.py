"""Multi-head, grouped, multi-query, latent, windowed and linear attention at equal parameters.

Papers: Shazeer 2019 (arXiv:1911.02150), Ainslie et al. 2023 (arXiv:2305.13245), DeepSeek-V2
(arXiv:2405.04434), Xiao et al. 2023 (arXiv:2309.17453), Katharopoulos et al. 2020
(arXiv:2006.16236).
Command: panorax run lm/attention_variants
"""

from panorax.configs.lm.llama import smoke as language_model

from panorax.lm.attention_variants import Config
from panorax.lm.variants import Setting
from panorax.nets.decoders.latent import Latent

CLAIMS = ()
ORACLE = "closed forms of the caches; the parallel form of linear attention"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    tiny = language_model()
    shared = {"data": tiny.data, "optim": tiny.optim, "run": tiny.run}
    setting = Setting(**shared, batch=tiny.batch, context=tiny.context, held_out=4)
    sizes = {"seeds": 1, "latent": Latent(rank=8, rotary=4), "window": 4, "sinks": 2, "chunk": 8}
    return Config(model=tiny.model, setting=setting, **sizes)
