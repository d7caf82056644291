"""transformers' Llama with random weights: logits, mean cross entropy of the next token, and its gradient in every parameter.

Weights are multiples of 1/16, so that they compress.
"""

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

from case import Arrays, named, normal, settings

PACKAGES = ("torch", "transformers")
SIZES = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
SMALL = {
    "vocab_size": 31,
    "hidden_size": 24,
    "intermediate_size": 20,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
}


def model_case(sizes: dict[str, int], theta: float, eps: float, tied: bool, length: int, rng: np.random.RandomState) -> Arrays:
    rope = {"rope_type": "default", "rope_theta": theta}
    model = LlamaForCausalLM(LlamaConfig(**sizes, rope_parameters=rope, rms_norm_eps=eps, tie_word_embeddings=tied)).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            draw = normal(rng, *p.shape, mean=1.0 if "norm" in name else 0.0, std=0.2)
            p.copy_(torch.tensor(np.round(draw * 16) / 16))
    ids = rng.randint(0, sizes["vocab_size"], (2, length))
    logits = model(torch.tensor(ids)).logits
    loss = cross_entropy(logits[:, :-1].flatten(0, 1), torch.tensor(ids)[:, 1:].flatten())
    loss.backward()
    parameters = dict(model.named_parameters())
    return {
        **settings(**sizes, rope_theta=theta, rms_norm_eps=eps, tie_word_embeddings=tied),
        **{f"param/{name}": p.detach().numpy() for name, p in parameters.items()},
        **{f"grad/{name}": p.grad.numpy() for name, p in parameters.items()},
        "ids": ids,
        "logits": logits.detach().numpy(),
        "loss": loss.detach().numpy(),
    }


def generate() -> Arrays:
    rng = np.random.RandomState(7)
    return {
        **named("untied", model_case(SIZES, 10_000.0, 1e-6, False, 12, rng)),
        **named("tied", model_case(SMALL, 500_000.0, 1e-5, True, 17, rng)),
    }
