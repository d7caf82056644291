"""Normalisations of torch; images are channels first."""

import numpy as np
from case import Arrays, named, normal, scales, vjp
from torch.nn.functional import group_norm, layer_norm, rms_norm

GROUP = "torch"
PACKAGES = ("torch",)


def generate() -> Arrays:
    rng = np.random.RandomState(1)
    x, image = normal(rng, 2, 5, 12, mean=0.5), normal(rng, 2, 12, 3, 4, mean=0.5)
    scale, bias = scales(rng, 12), normal(rng, 12, std=0.2)
    # small inputs make a wrong eps visible
    x, image = 0.01 * x, 0.01 * image
    affine = {"scale": scale, "bias": bias}

    def rms(x, scale):
        return rms_norm(x, (12,), scale, 1e-5)

    def layer(x, scale, bias):
        return layer_norm(x, (12,), scale, bias, 1e-5)

    def group(x, scale, bias):
        return group_norm(x, 4, scale, bias, 1e-5)

    return {
        **named("rms_norm", vjp(rms, {"x": x, "scale": scale}, rng)),
        **named("layer_norm", vjp(layer, {"x": x, **affine}, rng)),
        **named("group_norm", vjp(group, {"x": image, **affine}, rng)),
    }
