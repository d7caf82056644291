"""Rotary embeddings of transformers' Llama, and sinusoidal time embeddings of diffusers.

Rotary embeddings have the layout (batch, heads, time, head dimension).
"""

import numpy as np
import torch
from case import Arrays, named, normal, settings, vjp
from diffusers.models.embeddings import get_timestep_embedding
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

GROUP = "torch"
PACKAGES = ("torch", "transformers", "diffusers")


def rope(theta: float, rng: np.random.RandomState) -> Arrays:
    config = LlamaConfig(
        hidden_size=32,
        num_attention_heads=4,
        rope_parameters={"rope_type": "default", "rope_theta": theta},
    )
    embedding = LlamaRotaryEmbedding(config)
    position = np.stack([np.arange(3), np.arange(90, 93)])
    cos, sin = embedding(torch.zeros((), dtype=torch.float32), torch.tensor(position))
    qk = {"q": normal(rng, 2, 4, 3, 8), "k": normal(rng, 2, 2, 3, 8)}
    rotated = vjp(
        lambda q, k: torch.cat(apply_rotary_pos_emb(q, k, cos.double(), sin.double()), 1), qk, rng
    )
    return {
        **settings(head_dim=8, theta=theta),
        "frequencies": embedding.inv_freq.numpy(),
        "position": position,
        **rotated,
    }


def generate() -> Arrays:
    rng = np.random.RandomState(2)
    time = np.array([0.0, 0.37, 5.5, 999.0], np.float32)
    features = get_timestep_embedding(
        torch.tensor(time), 10, flip_sin_to_cos=True, downscale_freq_shift=0
    )
    return {
        **named("rope_10000", rope(10_000.0, rng)),
        **named("rope_500000", rope(500_000.0, rng)),
        **named("sinusoidal", {"time": time, "out": features.numpy()}),
    }
