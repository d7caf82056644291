"""Scaled dot-product attention of torch, in the layout (batch, heads, time, head dimension)."""

import numpy as np
import torch
from case import Arrays, named, normal, vjp
from torch.nn.functional import scaled_dot_product_attention

GROUP = "torch"
PACKAGES = ("torch",)


def generate() -> Arrays:
    rng = np.random.RandomState(0)
    qkv = {"q": normal(rng, 2, 4, 7, 8), "k": normal(rng, 2, 2, 7, 8), "v": normal(rng, 2, 2, 7, 8)}
    time = np.arange(7)
    distance = time[:, None] - time
    masks = {"causal": distance >= 0, "window": (distance >= 0) & (distance < 3)}
    arrays = {}
    for case, mask in masks.items():
        attend = lambda q, k, v: scaled_dot_product_attention(
            q, k, v, attn_mask=torch.tensor(mask), enable_gqa=True
        )
        arrays |= named(case, {"mask": mask, **vjp(attend, qkv, rng)})
    return arrays
