"""Optimisers by typed choice: a schedule, clipping by the global norm, and one of the update rules of optax.

A config has a field `optim` of one of these types. `optimizer(cfg, steps, spec)` builds the transformation; the
spec of the parameters says which of them decay and which are matrices. From Python, `system(cfg, tx=...)` takes
any other optax transformation.
"""

from typing import Literal

import optax
from optax import contrib

from panorax.core.ranges import NonNegative, Positive, Share, Whole, checked
from panorax.core.spec import P, decays, map_spec

ADAM_TABLES = (
    "vocab",
    "labels",
)  # axes of embedding tables and output projections, which Muon leaves to Adam


@checked
class Schedule:
    """Learning rate over the updates, and clipping of the gradient: what every optimiser has."""

    peak_lr: Positive = 1e-3
    """learning rate after the warm-up"""
    final_lr: NonNegative = 0.0
    """learning rate at the last update of a linear or cosine schedule"""
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    """shape of the decay after the warm-up"""
    warmup: Whole = 0
    """updates over which the learning rate rises linearly from 0"""
    clip: Positive = 1.0
    """largest global norm of the gradient"""
    weight_decay: NonNegative = 0.0
    """decoupled weight decay, times the learning rate, of parameters whose spec says that they decay"""


@checked
class AdamW(Schedule):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv:1711.05101)."""

    b1: Share = 0.9
    """decay of the first moment"""
    b2: Share = 0.95
    """decay of the second moment"""
    eps: Positive = 1e-8
    """added to the root of the second moment"""

    def rule(self, lr: optax.Schedule, spec) -> optax.GradientTransformation:
        return optax.adamw(
            lr, self.b1, self.b2, self.eps, weight_decay=self.weight_decay, mask=decays(spec)
        )


@checked
class SGD(Schedule):
    """Stochastic gradient descent with momentum (Sutskever et al. 2013)."""

    peak_lr: Positive = 0.1
    momentum: Share = 0.9
    """share of the update that carries over; 0 is plain gradient descent"""
    nesterov: bool = True
    """evaluate the momentum one step ahead"""

    def rule(self, lr: optax.Schedule, spec) -> optax.GradientTransformation:
        decay = optax.add_decayed_weights(self.weight_decay, decays(spec))
        return optax.chain(decay, optax.sgd(lr, self.momentum, self.nesterov))


@checked
class Lion(Schedule):
    """Sign of interpolated momentum (Chen et al. 2023, arXiv:2302.06675)."""

    peak_lr: Positive = 1e-4
    b1: Share = 0.9
    """weight of the momentum in the sign"""
    b2: Share = 0.99
    """decay of the momentum"""

    def rule(self, lr: optax.Schedule, spec) -> optax.GradientTransformation:
        return optax.lion(lr, self.b1, self.b2, weight_decay=self.weight_decay, mask=decays(spec))


@checked
class Muon(Schedule):
    """Orthogonalised momentum for matrices, Adam for vectors and embedding tables (Jordan et al. 2024)."""

    peak_lr: Positive = 0.02
    beta: Share = 0.95
    """decay of the momentum of matrices"""
    adam_lr: Positive = 1e-3
    """peak learning rate of parameters that Adam updates, on the same schedule"""
    b1: Share = 0.9
    """decay of Adam's first moment"""
    b2: Share = 0.95
    """decay of Adam's second moment"""

    def rule(self, lr: optax.Schedule, spec) -> optax.GradientTransformation:
        return contrib.muon(
            lr, beta=self.beta, weight_decay=self.weight_decay, weight_decay_mask=decays(spec),
            adam_b1=self.b1, adam_b2=self.b2, adam_learning_rate=lambda step: lr(step) * self.adam_lr / self.peak_lr,
            muon_weight_dimension_numbers=map_spec(matrix_axes, spec),
        )  # fmt: skip


@checked
class Adafactor(Schedule):
    """Factored second moments (Shazeer & Stern 2018, arXiv:1804.04235)."""

    peak_lr: Positive = 1e-2
    decay: Share = 0.8
    """exponent of the growth of the second moment's decay"""
    smallest_factored: Whole = 128
    """least size of the two largest axes of an array whose second moment is factored"""

    def rule(self, lr: optax.Schedule, spec) -> optax.GradientTransformation:
        return optax.chain(
            optax.scale_by_factored_rms(
                decay_rate=self.decay, min_dim_size_to_factor=self.smallest_factored
            ),
            optax.clip_by_block_rms(1.0),
            optax.add_decayed_weights(self.weight_decay, decays(spec)),
            optax.scale_by_learning_rate(lr),
        )


@checked
class Sophia(Schedule):
    """Clipped Newton steps with a diagonal Hessian by Hutchinson's estimator (Liu et al. 2023, arXiv:2305.14342)."""

    peak_lr: Positive = 1e-3
    b1: Share = 0.965
    """decay of the gradient's average"""
    b2: Share = 0.99
    """decay of the Hessian's average"""
    gamma: Positive = 0.01
    """scale of the Hessian: a smaller one clips more of the steps"""
    every: Whole = 10
    """updates between two estimates of the Hessian"""

    def rule(self, lr: optax.Schedule, spec) -> optax.GradientTransformation:
        return contrib.sophia(
            lr, self.b1, self.b2, gamma=self.gamma, update_interval=self.every,
            weight_decay=self.weight_decay, weight_decay_mask=decays(spec),
        )  # fmt: skip


Optimizer = AdamW | SGD | Lion | Muon | Adafactor | Sophia


def learning_rate(cfg: Schedule, steps: int) -> optax.Schedule:
    """Linear warm-up from 0 to `peak_lr`, then constant, or a linear or cosine decay to `final_lr` at update `steps`."""
    after = max(steps - cfg.warmup, 1)
    decay = {
        "constant": optax.constant_schedule(cfg.peak_lr),
        "linear": optax.linear_schedule(cfg.peak_lr, cfg.final_lr, after),
        "cosine": optax.cosine_decay_schedule(cfg.peak_lr, after, alpha=cfg.final_lr / cfg.peak_lr),
    }[cfg.schedule]
    if cfg.warmup == 0:
        return decay
    return optax.join_schedules(
        [optax.linear_schedule(0.0, cfg.peak_lr, cfg.warmup), decay], [cfg.warmup]
    )


def optimizer(cfg: Optimizer, steps: int, spec) -> optax.GradientTransformation:
    """Clipping by the global norm, then the rule of `cfg`, for parameters declared by `spec`.

    `steps` is the number of updates that the schedule spans.
    """
    return optax.chain(
        optax.clip_by_global_norm(cfg.clip), cfg.rule(learning_rate(cfg, steps), spec)
    )


def matrix_axes(p: P) -> contrib.MuonDimensionNumbers | None:
    """Input and output axes of a matrix that Muon orthogonalises; None for vectors and embedding tables."""
    first = 1 if p.axes[:1] == ("layers",) else 0
    n = len(p.shape)
    if n - first < 2 or set(p.axes) & set(ADAM_TABLES):
        return None
    return contrib.MuonDimensionNumbers(
        tuple(range(first, n - p.outputs)), tuple(range(n - p.outputs, n))
    )
