"""The optimiser most systems use: AdamW with a warm-up schedule, gradient clipping and a weight-decay mask."""

from dataclasses import dataclass
from typing import Literal

import optax

from panorax.core.ranges import NonNegative, Positive, Share, Whole


@dataclass(frozen=True)
class AdamW:
    """AdamW (Loshchilov & Hutter 2019). Decay applies where `decay_mask` of `optimizer` is true."""

    peak_lr: Positive = 1e-3
    final_lr: NonNegative = 0.0
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    warmup: Whole = 0
    b1: Share = 0.9
    b2: Share = 0.95
    eps: Positive = 1e-8
    weight_decay: NonNegative = 0.0
    clip: Positive = 1.0


def learning_rate(cfg: AdamW, steps: int) -> optax.Schedule:
    """Linear warm-up from 0 to `peak_lr`, then constant, or a linear or cosine decay to `final_lr` at update `steps`."""
    after = max(steps - cfg.warmup, 1)
    decay = {
        "constant": optax.constant_schedule(cfg.peak_lr),
        "linear": optax.linear_schedule(cfg.peak_lr, cfg.final_lr, after),
        "cosine": optax.cosine_decay_schedule(cfg.peak_lr, after, alpha=cfg.final_lr / cfg.peak_lr),
    }[cfg.schedule]
    if cfg.warmup == 0:
        return decay
    return optax.join_schedules([optax.linear_schedule(0.0, cfg.peak_lr, cfg.warmup), decay], [cfg.warmup])


def optimizer(cfg: AdamW, steps: int, decay_mask=None) -> optax.GradientTransformation:
    """Clip by global norm, then AdamW; `steps` is the number of updates the schedule spans."""
    adamw = optax.adamw(learning_rate(cfg, steps), cfg.b1, cfg.b2, cfg.eps, weight_decay=cfg.weight_decay, mask=decay_mask)
    return optax.chain(optax.clip_by_global_norm(cfg.clip), adamw)
