"""Parameter counts of the published Llamas by transformers, without allocating parameters."""

import torch
from case import Arrays, named, settings
from transformers import LlamaConfig, LlamaForCausalLM

GROUP = "torch"
PACKAGES = ("torch", "transformers")
MODELS = {
    "llama2_7b": (32000, 4096, 11008, 32, 32, 32),
    "llama2_70b": (32000, 8192, 28672, 80, 64, 8),
    "llama3_8b": (128256, 4096, 14336, 32, 32, 8),
}
NAMES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
)


def generate() -> Arrays:
    arrays = {}
    for model, numbers in MODELS.items():
        sizes = dict(zip(NAMES, numbers, strict=True))
        with torch.device("meta"):
            llama = LlamaForCausalLM(LlamaConfig(**sizes, tie_word_embeddings=False))
        arrays |= named(
            model, settings(parameters=sum(p.numel() for p in llama.parameters()), **sizes)
        )
    return arrays
