"""torch's convolution; images channels first, kernels (out, in, height, width)."""

import numpy as np
from torch.nn.functional import conv2d

from case import Arrays, named, normal, vjp

PACKAGES = ("torch",)


def generate() -> Arrays:
    rng = np.random.RandomState(12)
    inputs = {"x": normal(rng, 2, 3, 7, 6), "weight": normal(rng, 4, 3, 3, 3, std=0.3), "bias": normal(rng, 4)}
    return {
        **named("stride_1", vjp(lambda x, weight, bias: conv2d(x, weight, bias, padding=1), inputs, rng)),
        **named("stride_2", vjp(lambda x, weight, bias: conv2d(x, weight, bias, stride=2, padding=1), inputs, rng)),
    }
