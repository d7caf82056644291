"""Key/value caches: size calculator, rows, rings and 8 bits, beside the full pass and allocations.

Papers: Shazeer 2019 (arXiv:1911.02150), Pope et al. 2022 (arXiv:2211.05102), DeepSeek-V2
(arXiv:2405.04434), Xiao et al. 2023 (arXiv:2309.17453).
Command: panorax run lm/kv_cache
"""

from panorax.configs.lm.llama import smoke as language_model

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.lm.kv_cache import Config
from panorax.lm.variants import Setting

CLAIMS = (
    Claim(
        "bytes_wrong",
        "==",
        0.0,
        "Closed form: a cache of heads has 2 L B G S K numbers, as every allocation here",
    ),
    Claim("gap_heads", "<=", 1e-5, "Pope et al. 2022: a cache changes no logit"),
    Claim("gap_window", "<=", 1e-5, "Panorax: a ring of the window's width changes no logit"),
    Claim("gap_sinks", "<=", 1e-5, "Panorax: a ring behind attention sinks changes no logit"),
    Claim(
        "int8_rise",
        "<=",
        0.005,
        "Panorax: keys and values of 8 bits raise perplexity by under 0.5%",
    ),
    Claim(
        "sinks_rise_at_32",
        "<",
        "window_rise_at_32",
        "Xiao et al. 2023: a window that keeps the first tokens keeps more of the quality",
    ),
    Claim(
        "gigabytes_70b_grouped",
        "==",
        1.34,
        "Closed form: at 4,096 tokens in bf16 the cache of Llama 2 70B with 8 groups has 1.34 GB",
    ),
    Claim(
        "gigabytes_70b_heads",
        "==",
        10.74,
        "Closed form: with 64 key/value heads the cache of Llama 2 70B would have 10.74 GB",
    ),
    Claim(
        "weights_share_of_traffic",
        ">=",
        0.98,
        "Closed form: one row of 4,096 tokens of Llama 2 70B reads 98% weights, 2% cache, per step",
    ),
    Claim(
        "latent_as_groups",
        "==",
        2.25,
        "DeepSeek-V2, section 2.1.3: the latent takes the cache of 2.25 groups of heads",
    ),
)
ORACLE = "closed forms of the sizes; the full pass of the same decoder"


def get_config() -> Config:
    return Config(setting=Setting(context=256, run=Run(steps=1500, chunk=50)))


def smoke() -> Config:
    tiny = language_model()
    shared = {"data": tiny.data, "optim": tiny.optim, "run": tiny.run}
    setting = Setting(**shared, batch=tiny.batch, context=tiny.context, held_out=4)
    return Config(model=tiny.model, setting=setting, windows=(4, 8), sinks=2, room=12, rows=2)
