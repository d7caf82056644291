"""Logits after the warpers of transformers, one by one and in the order of `generate`."""

import numpy as np
import torch
from case import Arrays, named, normal, settings
from transformers import (
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

GROUP = "torch"
PACKAGES = ("torch", "transformers")
SETTINGS = {"temperature": 0.7, "top_k": 6, "top_p": 0.9, "min_p": 0.08}
WARPERS = {
    "temperature": TemperatureLogitsWarper,
    "top_k": TopKLogitsWarper,
    "top_p": TopPLogitsWarper,
    "min_p": MinPLogitsWarper,
}


def generate() -> Arrays:
    logits = normal(np.random.RandomState(5), 4, 17, std=2.0)
    warped = {
        name: WARPERS[name](value)(None, torch.tensor(logits)).numpy()
        for name, value in SETTINGS.items()
    }
    chain = torch.tensor(logits)
    for name, value in SETTINGS.items():
        chain = WARPERS[name](value)(None, chain)
    return named(
        "warpers", {"logits": logits, **settings(**SETTINGS), **warped, "chain": chain.numpy()}
    )
