"""Generation by a Llama of 10.7M parameters, beside `transformers` generate and a PyTorch loop.

All contenders use the same cores. Competitors: transformers 5.23.0 `LlamaForCausalLM.generate`, and
the loop of `panorax.bench.torch_llama` with a preallocated cache, torch 2.13.0.

Command: panorax bench bench/decoding (needs `pip install 'panorax[bench]'`)
"""

import dataclasses

from panorax.bench.decoding import Config
from panorax.core.claims import Claim

CLAIMS = tuple(
    claim
    for batch in (1, 8)
    for claim in (
        Claim(
            f"batch{batch}_panorax_ratio",
            ">=",
            1.2,
            f"Panorax: generation of 192 tokens at batch {batch} is 1.2 times as fast as the"
            " PyTorch loop",
        ),
        Claim(
            f"batch{batch}_ratio_of_panorax_to_transformers",
            ">=",
            2.0,
            f"Panorax: generation of 192 tokens at batch {batch} is twice as fast as"
            " `transformers`",
        ),
        Claim(
            f"batch{batch}_tokens_that_differ",
            "<=",
            0,
            f"Panorax: at batch {batch} both competitors generate the same greedy tokens",
        ),
    )
)


def get_config() -> Config:
    return Config()


def quick() -> Config:
    """The size of `panorax bench --check`."""
    return dataclasses.replace(get_config(), rounds=3)
