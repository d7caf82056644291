"""Twenty steps of torch's AdamW on logistic regression.

The steps clip the gradient, follow a warmup-cosine schedule, and decay only the matrix.
"""

import math

import numpy as np
import torch
from case import Arrays, named, normal, settings
from torch.nn.functional import cross_entropy

GROUP = "torch"
PACKAGES = ("torch",)
STEPS, WARMUP, PEAK, FINAL, DECAY, CLIP, B1, B2, EPS = 20, 5, 0.1, 0.01, 0.3, 0.5, 0.9, 0.95, 1e-3


def schedule(step: int) -> float:
    """Learning rate over PEAK: linear from 0, then half a cosine to FINAL at step STEPS."""
    if step < WARMUP:
        return step / WARMUP
    progress = (step - WARMUP) / (STEPS - WARMUP)
    return FINAL / PEAK + (1 - FINAL / PEAK) * (1 + math.cos(math.pi * progress)) / 2


def generate() -> Arrays:
    rng = np.random.RandomState(6)
    x, label, w0, b0 = normal(rng, 16, 5), rng.randint(0, 3, 16), normal(rng, 5, 3), normal(rng, 3)
    w, b = (torch.tensor(p, dtype=torch.float64, requires_grad=True) for p in (w0, b0))
    groups = [{"params": [w], "weight_decay": DECAY}, {"params": [b], "weight_decay": 0.0}]
    adamw = torch.optim.AdamW(groups, lr=PEAK, betas=(B1, B2), eps=EPS)
    rate = torch.optim.lr_scheduler.LambdaLR(adamw, schedule)
    path = {"w": [], "b": [], "norm": [], "rate": []}
    for _ in range(STEPS):
        adamw.zero_grad()
        logits = torch.tensor(x, dtype=torch.float64) @ w + b[None]
        cross_entropy(logits, torch.tensor(label)).backward()
        path["norm"].append(torch.nn.utils.clip_grad_norm_([w, b], CLIP).item())
        path["rate"].append(rate.get_last_lr()[0])
        adamw.step()
        rate.step()
        path["w"].append(w.detach().numpy().copy())
        path["b"].append(b.detach().numpy().copy())
    if not min(path["norm"]) < CLIP < max(path["norm"]):
        raise ValueError("some steps must clip the gradient and some must not")
    rates = settings(
        steps=STEPS,
        warmup=WARMUP,
        peak_lr=PEAK,
        final_lr=FINAL,
        b1=B1,
        b2=B2,
        eps=EPS,
        weight_decay=DECAY,
        clip=CLIP,
    )
    inputs = {"x": x, "label": label, "w0": w0, "b0": b0}
    outputs = {name: np.array(steps) for name, steps in path.items()}
    return named("adamw", {**rates, **inputs, **outputs})
