"""Training with contexts of 1,024 to 8,192 tokens on a CPU, beside PyTorch eager.

Memory grows linearly with the context. Competitor: the same Llama (`panorax.bench.torch_llama`)
in torch 2.13.0, whose attention is a flash kernel.

Command: panorax bench bench/context (needs `pip install 'panorax[bench]'`)
"""

import dataclasses

from panorax.bench.context import Config
from panorax.core.claims import Claim

CLAIMS = (
    Claim(
        "memory_growth",
        "<=",
        2.2,
        "Panorax: the doubling of the context to 8,192 tokens adds at most 2.2 times the memory of"
        " the doubling to 4,096 (2 is linear, 4 quadratic)",
    ),
    *(
        Claim(
            f"{context}_largest_loss_difference",
            "<",
            1e-5,
            f"Panorax: the first five losses equal PyTorch's within 1e-5 nats at {context} tokens",
        )
        for context in Config().contexts
    ),
)


def get_config() -> Config:
    return Config()


def quick() -> Config:
    """The size of `panorax bench --check`."""
    return dataclasses.replace(get_config(), contexts=(512, 1024, 2048), rounds=3)
