"""Sinusoidal, learned, RoPE, ALiBi and NoPE, and scalings of RoPE to 8 times its training context.

Papers: Vaswani et al. 2017, Su et al. 2021 (arXiv:2104.09864), Press et al. 2022
(arXiv:2108.12409), Kazemnejad et al. 2023 (arXiv:2305.19466), Chen et al. 2023 (arXiv:2306.15595),
Peng et al. 2023 (arXiv:2309.00071).
Command: panorax run lm/positions
"""

from panorax.configs.lm.llama import smoke as language_model

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.lm.positions import Config
from panorax.lm.variants import Setting

CLAIMS = (
    Claim("rope_shift", "<=", 1e-4, "Su et al. 2021: RoPE depends on distances of tokens alone"),
    Claim("alibi_shift", "<=", 1e-4, "Press et al. 2022: ALiBi depends on distances alone"),
    Claim(
        "learned_shift", ">=", 0.01, "Radford et al. 2018: learned vectors depend on the position"
    ),
    Claim(
        "ntk_rise",
        "<",
        "rope_rise",
        "Peng et al. 2023: NTK-aware scaling reads 8 times the context better than RoPE as it is",
    ),
    Claim(
        "yarn_rise",
        "<",
        "linear_rise",
        "Peng et al. 2023: without further training YaRN is better than linear interpolation",
    ),
    Claim(
        "alibi_rise",
        "<=",
        1.0,
        "Press et al. 2022: ALiBi reads 8 times the context without a rise of perplexity",
    ),
    Claim(
        "alibi_rise",
        "<",
        "sinusoidal_rise",
        "Press et al. 2022: ALiBi extrapolates further than sinusoidal positions",
    ),
    Claim(
        "decay_beyond_bound",
        "<=",
        1e-9,
        "Su et al. 2021, section 3.4.3: scores of RoPE stay below a bound that decays",
    ),
    Claim(
        "decay_rising_share",
        ">=",
        0.2,
        "Panorax: the score of RoPE is not monotone: it rises at a fifth of all distances or more",
    ),
)
ORACLE = "transformers: frequencies of every scaling; closed forms: slopes of ALiBi, decay of RoPE"


def get_config() -> Config:
    return Config(setting=Setting(batch=16, context=64, run=Run(steps=1500, chunk=50)))


def smoke() -> Config:
    tiny = language_model()
    shared = {"data": tiny.data, "optim": tiny.optim, "run": tiny.run}
    setting = Setting(**shared, batch=tiny.batch, context=tiny.context, held_out=4)
    sizes = {"factor": 2, "held_out": 64, "distances": 64, "head_dim": 16}
    return Config(model=tiny.model, setting=setting, **sizes)
