"""Generation by a Llama of 10.7M parameters, tokens a second beside `transformers` generate and a PyTorch loop on the same cores.

Competitors: transformers 5.23.0 `LlamaForCausalLM.generate`, and the loop of `panorax.bench.torch_llama` with a cache that has room for all, torch 2.13.0.
Command: panorax bench bench/decoding      about 3 minutes on 2 cores; needs `pip install 'panorax[bench]'`
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
            f"{batch} prompts of 32 tokens, 192 new ones, against the loop",
        ),
        Claim(
            f"batch{batch}_ratio_of_panorax_to_transformers",
            ">=",
            2.0,
            f"{batch} prompts, against generate",
        ),
        Claim(
            f"batch{batch}_tokens_that_differ",
            "<=",
            0,
            "greedy tokens of both competitors that are not ours",
        ),
    )
)


def get_config() -> Config:
    return Config()


def quick() -> Config:
    """For the guard."""
    return dataclasses.replace(get_config(), rounds=3)
