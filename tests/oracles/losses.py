"""torch's cross entropy, mean over the labels that are not to be ignored."""

import numpy as np
import torch
from case import Arrays, named, normal, vjp
from torch.nn.functional import cross_entropy

PACKAGES = ("torch",)


def generate() -> Arrays:
    rng = np.random.RandomState(4)
    label = rng.randint(0, 11, (3, 5))
    label[[0, 1, 1, 2], [4, 3, 4, 0]] = -100
    logits = {"logits": normal(rng, 3, 5, 11, std=3.0)}
    loss = vjp(
        lambda logits: cross_entropy(
            logits.flatten(0, 1), torch.tensor(label).flatten(), ignore_index=-100
        ),
        logits,
        rng,
    )
    return named("cross_entropy", {"label": label, **loss})
