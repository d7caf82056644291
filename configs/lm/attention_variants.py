"""Multi-head, grouped, multi-query, latent, windowed and linear attention at equal parameters.

Papers: Shazeer 2019 (arXiv:1911.02150), Ainslie et al. 2023 (arXiv:2305.13245), DeepSeek-V2
(arXiv:2405.04434), Xiao et al. 2023 (arXiv:2309.17453), Katharopoulos et al. 2020
(arXiv:2006.16236).
Command: panorax run lm/attention_variants
"""

from panorax.configs.lm.llama import smoke as language_model

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.lm.attention_variants import Config
from panorax.lm.variants import Setting
from panorax.nets.decoders.latent import Latent

CLAIMS = (
    Claim(
        "mqa_cache_divisor",
        "==",
        6.0,
        "Shazeer 2019: one key/value head in place of 6 takes a sixth of the cache",
    ),
    Claim(
        "gqa_cache_divisor",
        "==",
        3.0,
        "Ainslie et al. 2023: groups of 3 query heads take a third of the cache",
    ),
    Claim(
        "mla_cache_divisor",
        "==",
        4.0,
        "DeepSeek-V2: a latent of 32 + 16 numbers in place of 192 takes a quarter of the cache",
    ),
    Claim(
        "largest_cached_gap",
        "<=",
        1e-5,
        "Panorax: a cache changes no logit of any attention variant",
    ),
    Claim(
        "parallel_minus_recurrent",
        "<=",
        1e-5,
        "Katharopoulos et al. 2020: the recurrent form of linear attention equals the parallel one",
    ),
    Claim(
        "parallel_minus_chunked",
        "<=",
        1e-5,
        "Sun et al. 2023: the chunked form of linear attention equals the parallel one",
    ),
    Claim(
        "gqa_gap",
        "<=",
        0.05,
        "Ainslie et al. 2023: grouped heads keep the quality of multi-head attention",
    ),
    Claim(
        "mla_gap",
        "<=",
        0.05,
        "DeepSeek-V2: latent attention keeps the quality of multi-head attention",
    ),
    Claim(
        "mqa_gap",
        ">=",
        "gqa_gap",
        "Ainslie et al. 2023: one key/value head loses more quality than grouped heads",
    ),
)
ORACLE = "closed forms of the caches; the parallel form of linear attention"


def get_config() -> Config:
    return Config(setting=Setting(run=Run(steps=600, chunk=40)))


def smoke() -> Config:
    tiny = language_model()
    shared = {"data": tiny.data, "optim": tiny.optim, "run": tiny.run}
    setting = Setting(**shared, batch=tiny.batch, context=tiny.context, held_out=4)
    sizes = {"seeds": 1, "latent": Latent(rank=8, rotary=4), "window": 4, "sinks": 2, "chunk": 8}
    return Config(model=tiny.model, setting=setting, **sizes)
