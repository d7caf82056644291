"""Cross entropy of torch, averaged over the labels that are not ignored."""

import numpy as np
import torch
from case import Arrays, named, normal, vjp
from torch.nn.functional import cross_entropy

GROUP = "torch"
PACKAGES = ("torch",)


def generate() -> Arrays:
    rng = np.random.RandomState(4)
    label = rng.randint(0, 11, (3, 5))
    label[[0, 1, 1, 2], [4, 3, 4, 0]] = -100
    logits = {"logits": normal(rng, 3, 5, 11, std=3.0)}

    def mean_loss(logits):
        return cross_entropy(logits.flatten(0, 1), torch.tensor(label).flatten(), ignore_index=-100)

    return named("cross_entropy", {"label": label, **vjp(mean_loss, logits, rng)})
