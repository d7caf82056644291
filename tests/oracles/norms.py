"""torch's normalisations; images channels first, as torch has them."""

import numpy as np
from torch.nn.functional import group_norm, layer_norm, rms_norm

from case import Arrays, named, normal, scales, vjp

PACKAGES = ("torch",)


def generate() -> Arrays:
    rng = np.random.RandomState(1)
    x, image = normal(rng, 2, 5, 12, mean=0.5), normal(rng, 2, 12, 3, 4, mean=0.5)
    scale, bias = scales(rng, 12), normal(rng, 12, std=0.2)
    # small inputs, where a wrong eps shows
    small = 0.01 * x
    return {
        **named("rms_norm", vjp(lambda x, scale: rms_norm(x, (12,), scale, 1e-5), {"x": small, "scale": scale}, rng)),
        **named(
            "layer_norm",
            vjp(lambda x, scale, bias: layer_norm(x, (12,), scale, bias, 1e-5), {"x": small, "scale": scale, "bias": bias}, rng),
        ),
        **named(
            "group_norm",
            vjp(lambda x, scale, bias: group_norm(x, 4, scale, bias, 1e-5), {"x": 0.01 * image, "scale": scale, "bias": bias}, rng),
        ),
    }
