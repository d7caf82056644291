"""Cross entropy of torch, averaged over the labels that are not ignored, and that of a last layer.

The loss of a last layer is one number a token, with label smoothing and the z-loss.
"""

import numpy as np
import torch
from case import Arrays, named, normal, settings, vjp
from torch.nn.functional import cross_entropy

GROUP = "torch"
PACKAGES = ("torch",)


def of_logits() -> Arrays:
    rng = np.random.RandomState(4)
    label = rng.randint(0, 11, (3, 5))
    label[[0, 1, 1, 2], [4, 3, 4, 0]] = -100
    logits = {"logits": normal(rng, 3, 5, 11, std=3.0)}

    def mean_loss(logits):
        return cross_entropy(logits.flatten(0, 1), torch.tensor(label).flatten(), ignore_index=-100)

    return named("cross_entropy", {"label": label, **vjp(mean_loss, logits, rng)})


def of_a_last_layer() -> Arrays:
    rng = np.random.RandomState(5)
    label = rng.randint(0, 19, (2, 7))
    label[[0, 1, 1], [6, 0, 3]] = -100
    inputs = {"x": normal(rng, 2, 7, 6), "w": normal(rng, 6, 19)}
    smoothing, z_loss, cap = 0.1, 1e-2, 5.0

    def losses(x, w):
        logits, target = cap * torch.tanh(x @ w / cap), torch.tensor(label)
        smoothed = cross_entropy(
            logits.flatten(0, 1),
            target.flatten(),
            ignore_index=-100,
            label_smoothing=smoothing,
            reduction="none",
        )
        squared = torch.logsumexp(logits, -1) ** 2
        return smoothed.reshape(2, 7) + z_loss * squared * (target != -100)

    constants = settings(smoothing=smoothing, z_loss=z_loss, cap=cap)
    case = {"label": label, **constants, **vjp(losses, inputs, rng)}
    return named("linear_cross_entropy", case)


def generate() -> Arrays:
    return of_logits() | of_a_last_layer()
