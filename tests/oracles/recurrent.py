"""torch's GRU: three sequences, started from a memory that is not zero."""

import numpy as np
import torch
from case import Arrays, named, normal, vjp
from torch.func import functional_call

PACKAGES = ("torch",)


def generate() -> Arrays:
    rng = np.random.RandomState(3)
    gru = torch.nn.GRU(5, 7, batch_first=True, dtype=torch.float64)
    inputs = {name: normal(rng, *p.shape, std=0.5) for name, p in gru.named_parameters()}
    inputs |= {"x": normal(rng, 3, 6, 5), "h": normal(rng, 3, 7)}
    return named(
        "gru",
        vjp(lambda x, h, **params: functional_call(gru, params, (x, h[None]))[0], inputs, rng),
    )
