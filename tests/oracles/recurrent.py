"""GRU of torch on three sequences, from a nonzero memory."""

import numpy as np
import torch
from case import Arrays, named, normal, vjp
from torch.func import functional_call

GROUP = "torch"
PACKAGES = ("torch",)


def generate() -> Arrays:
    rng = np.random.RandomState(3)
    gru = torch.nn.GRU(5, 7, batch_first=True, dtype=torch.float64)
    inputs = {name: normal(rng, *p.shape, std=0.5) for name, p in gru.named_parameters()}
    inputs |= {"x": normal(rng, 3, 6, 5), "h": normal(rng, 3, 7)}

    def outputs(x, h, **params):
        return functional_call(gru, params, (x, h[None]))[0]

    return named("gru", vjp(outputs, inputs, rng))
