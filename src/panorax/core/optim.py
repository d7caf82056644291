"""Optimisers: a learning-rate schedule, clipping by the global norm, and an update rule of optax.

A config has a field `optim` of one of these types. `optimizer(cfg, steps, spec)` builds the
transformation; the spec declares which parameters decay and which axes index inputs and outputs.
From Python, `system(cfg, tx=...)` takes any optax transformation.
"""

from typing import Literal

import optax
from optax import contrib

from panorax.core.ranges import ConfigError, DecayRate, NonNegative, Positive, Share, Whole, checked
from panorax.core.spec import P, decays, map_spec

ADAM_AXES = ("vocab", "labels")  # axes of embeddings and output layers, which Muon leaves to Adam


@checked
class Schedule:
    """Learning-rate schedule, gradient clipping and weight decay, common to all optimisers.

    `rule(lr, spec)` of a subclass returns its update rule, without clipping.
    """

    peak_lr: Positive = 1e-3
    """learning rate at the end of the warm-up"""
    final_lr: NonNegative = 0.0
    """learning rate at the end of the decay; a constant schedule ignores it"""
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    """shape of the decay after the warm-up"""
    warmup: Whole = 0
    """number of updates of the linear warm-up, which starts from 0"""
    clip: Positive = 1.0
    """largest global norm of the gradient; a larger gradient is rescaled to this norm"""
    weight_decay: NonNegative = 0.0
    """coefficient of weight decay, multiplied by the learning rate; decoupled except in SGD"""


@checked
class AdamW(Schedule):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv:1711.05101)."""

    b1: DecayRate = 0.9
    """decay rate of the first moment [beta1]"""
    b2: DecayRate = 0.95
    """decay rate of the second moment [beta2]"""
    eps: Positive = 1e-8
    """constant added to the root of the second moment [epsilon]"""

    def rule(self, lr: optax.Schedule, spec) -> optax.GradientTransformation:
        return optax.adamw(
            lr, self.b1, self.b2, self.eps, weight_decay=self.weight_decay, mask=decays(spec)
        )


@checked
class SGD(Schedule):
    """Stochastic gradient descent with momentum (Sutskever et al. 2013).

    Weight decay is added to the gradient before the momentum, as in torch.
    """

    peak_lr: Positive = 0.1
    momentum: DecayRate = 0.9
    """decay rate of the momentum; 0 is plain gradient descent"""
    nesterov: bool = True
    """Nesterov momentum instead of classical momentum"""

    def rule(self, lr: optax.Schedule, spec) -> optax.GradientTransformation:
        decay = optax.add_decayed_weights(self.weight_decay, decays(spec))
        return optax.chain(decay, optax.sgd(lr, self.momentum, self.nesterov))


@checked
class Lion(Schedule):
    """Lion: the sign of interpolated momentum (Chen et al. 2023, arXiv:2302.06675)."""

    peak_lr: Positive = 1e-4
    b1: DecayRate = 0.9
    """weight of the momentum in the interpolation [beta1]"""
    b2: DecayRate = 0.99
    """decay rate of the momentum [beta2]"""

    def rule(self, lr: optax.Schedule, spec) -> optax.GradientTransformation:
        return optax.lion(lr, self.b1, self.b2, weight_decay=self.weight_decay, mask=decays(spec))


@checked
class Muon(Schedule):
    """Muon: orthogonalised momentum for matrices, Adam for other arrays (Jordan et al. 2024)."""

    peak_lr: Positive = 0.02
    beta: DecayRate = 0.95
    """decay rate of the momentum of matrices"""
    adam_lr: Positive = 1e-3
    """peak learning rate of Adam, on the same schedule"""
    b1: DecayRate = 0.9
    """decay rate of Adam's first moment"""
    b2: DecayRate = 0.95
    """decay rate of Adam's second moment"""

    def rule(self, lr: optax.Schedule, spec) -> optax.GradientTransformation:
        return contrib.muon(
            lr,
            beta=self.beta,
            weight_decay=self.weight_decay,
            weight_decay_mask=decays(spec),
            adam_b1=self.b1,
            adam_b2=self.b2,
            adam_learning_rate=lambda step: lr(step) * self.adam_lr / self.peak_lr,
            muon_weight_dimension_numbers=map_spec(matrix_axes, spec),
        )


@checked
class Adafactor(Schedule):
    """Adafactor: factored second moments (Shazeer & Stern 2018, arXiv:1804.04235)."""

    peak_lr: Positive = 1e-2
    decay: Share = 0.8
    """exponent of the decay rate of the second moment, 1 - t^-decay at update t"""
    smallest_factored: Whole = 128
    """smallest size that both largest axes of an array need for a factored second moment"""

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
    """Sophia-H: clipped steps, preconditioned by an estimate of the Hessian's diagonal.

    The estimator is Hutchinson's. Source: Liu et al. 2023, arXiv:2305.14342.
    """

    peak_lr: Positive = 1e-3
    b1: DecayRate = 0.965
    """decay rate of the average of gradients [beta1]"""
    b2: DecayRate = 0.99
    """decay rate of the average of Hessians [beta2]"""
    gamma: Positive = 0.01
    """scale of the Hessian; a smaller value clips more steps [gamma]"""
    every: Whole = 10
    """number of updates between two estimates of the Hessian [k]"""

    def rule(self, lr: optax.Schedule, spec) -> optax.GradientTransformation:
        return contrib.sophia(
            lr,
            self.b1,
            self.b2,
            gamma=self.gamma,
            update_interval=self.every,
            weight_decay=self.weight_decay,
            weight_decay_mask=decays(spec),
        )


Optimizer = AdamW | SGD | Lion | Muon | Adafactor | Sophia


def learning_rate(cfg: Schedule, steps: int) -> optax.Schedule:
    """Linear warm-up from 0 to `peak_lr`, then the decay of `cfg.schedule`.

    A linear or cosine decay reaches `final_lr` after `steps` updates.
    """
    decay_steps = max(steps - cfg.warmup, 1)
    decay = {
        "constant": optax.constant_schedule(cfg.peak_lr),
        "linear": optax.linear_schedule(cfg.peak_lr, cfg.final_lr, decay_steps),
        "cosine": optax.cosine_decay_schedule(
            cfg.peak_lr, decay_steps, alpha=cfg.final_lr / cfg.peak_lr
        ),
    }[cfg.schedule]
    if cfg.warmup == 0:
        return decay
    return optax.join_schedules(
        [optax.linear_schedule(0.0, cfg.peak_lr, cfg.warmup), decay], [cfg.warmup]
    )


def optimizer(cfg: Optimizer, steps: int, spec) -> optax.GradientTransformation:
    """Clipping by the global norm, then the rule of `cfg`.

    steps: number of updates of the schedule.  spec: tree of P that declares the parameters.
    Raises ConfigError if the warm-up is longer.
    """
    if cfg.warmup > steps:
        raise ConfigError(
            f"the warm-up is longer than the run: warmup must be at most {steps}, "
            f"the number of updates, got {cfg.warmup}"
        )
    return optax.chain(
        optax.clip_by_global_norm(cfg.clip), cfg.rule(learning_rate(cfg, steps), spec)
    )


def matrix_axes(p: P) -> contrib.MuonDimensionNumbers | None:
    """Input and output axes of a matrix that Muon orthogonalises; None for any other array."""
    first = 1 if p.axes[:1] == ("layers",) else 0
    n = len(p.shape)
    if n - first < 2 or set(p.axes) & set(ADAM_AXES):
        return None
    return contrib.MuonDimensionNumbers(
        tuple(range(first, n - p.outputs)), tuple(range(n - p.outputs, n))
    )
