"""Training on texts of 1,024 to 8,192 tokens on a CPU beside PyTorch eager: memory grows with the context, not with its square.

Competitor: the same Llama (`panorax.bench.torch_llama`), torch 2.13.0, whose attention is a flash kernel.
Command: panorax bench bench/context      about 4 minutes on 2 cores; needs `pip install 'panorax[bench]'`
"""

import dataclasses

from panorax.bench.context import Config
from panorax.core.claims import Claim

CLAIMS = (
    Claim(
        "memory_growth",
        "<=",
        2.2,
        "memory added by the doubling to 8,192 over that added by the doubling to 4,096: 2 is linear, 4 quadratic",
    ),
    *(
        Claim(f"{context}_largest_loss_difference", "<", 1e-5, "first five losses of both")
        for context in Config().contexts
    ),
)


def get_config() -> Config:
    return Config()


def quick() -> Config:
    """For the guard."""
    return dataclasses.replace(get_config(), contexts=(512, 1024, 2048), rounds=3)
