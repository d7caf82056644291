"""Parameters of the published Llamas, counted by transformers without allocating any."""

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from case import Arrays, named

PACKAGES = ("torch", "transformers")
MODELS = {
    "llama2_7b": (32000, 4096, 11008, 32, 32, 32),
    "llama2_70b": (32000, 8192, 28672, 80, 64, 8),
    "llama3_8b": (128256, 4096, 14336, 32, 32, 8),
}
NAMES = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")


def generate() -> Arrays:
    arrays = {}
    for model, sizes in MODELS.items():
        with torch.device("meta"):
            llama = LlamaForCausalLM(LlamaConfig(**dict(zip(NAMES, sizes)), tie_word_embeddings=False))
        count = np.array(sum(p.numel() for p in llama.parameters()), np.int64)
        arrays |= named(model, {"parameters": count, **{name: np.array(n, np.int64) for name, n in zip(NAMES, sizes)}})
    return arrays
