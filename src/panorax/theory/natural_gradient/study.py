"""Natural gradients and K-FAC, measured on small nets, on a line, and in training on digits.

    invariance          gap between a step in mapped and in plain parameters, relative to the step
    fisher_blocks       gap between the blocks of K-FAC and of the exact Fisher matrix
    fields              natural gradients with the exact and with the empirical Fisher matrix
    autoencoder_race    steps of K-FAC, Adam and SGD to a target loss of a deep autoencoder
    classifier_race     steps of K-FAC and Adam to a target loss of a convolutional classifier

K-FAC trains the autoencoder by its quadratic model and the classifier in a trust region. The
matrices are in `panorax.maths.optimisation.fisher`, K-FAC is `panorax.maths.optimisation.kfac`.
Source: Amari 1998; Martens & Grosse 2015, section 13; Kunstner et al. 2019, section 3 and figure 1.
"""

import functools

import jax
import optax

from panorax.core.errors import UserError
from panorax.core.ranges import Count, Positive, PositiveShare, Whole, checked
from panorax.core.state import Result
from panorax.core.study import Part
from panorax.maths.optimisation.kfac import adaptive_kfac, kfac
from panorax.theory.natural_gradient.fields import fields
from panorax.theory.natural_gradient.invariance import fisher_blocks, invariance
from panorax.theory.natural_gradient.kfac_training import autoencoder, classifier
from panorax.theory.natural_gradient.races import Contender, Goal, race, race_result


@checked
class Config:
    sizes: tuple[Count, ...] = (64, 200, 100, 50, 10, 50, 100, 200, 64)
    """layer sizes of the autoencoder"""
    target: Positive = 1.0
    """target loss of the autoencoder, in nats per picture above the smallest possible loss"""
    steps: Count = 2000
    """training steps of Adam and SGD on the autoencoder"""
    kfac_steps: Count = 250
    """training steps of K-FAC on the autoencoder"""
    batch: Count = 512
    """pictures per training step"""
    channels: tuple[Count, ...] = (8, 16, 16)
    """channels of the classifier's convolutions"""
    classifier_target: Positive = 0.05
    """target cross entropy of the classifier, in nats"""
    classifier_steps: Count = 100
    """training steps of every method on the classifier"""
    adam_rates: tuple[Positive, ...] = (2e-3, 5e-3, 1e-2, 3e-2, 0.1)
    """grid of Adam's learning rate"""
    sgd_rates: tuple[Positive, ...] = (0.01, 0.02, 0.05, 0.1)
    """grid of SGD's learning rate"""
    sgd_momenta: tuple[PositiveShare, ...] = (0.9, 0.95, 0.99)
    """grid of SGD's Nesterov momentum"""
    dampings: tuple[Positive, ...] = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
    """grid of K-FAC's damping: initial for the autoencoder, constant for the classifier"""
    seeds: Count = 3
    """seeds of each training"""
    points: Count = 3000
    """points that the line is fitted to"""
    seed: Whole = 0
    """seed of all random numbers"""

    def __post_init__(self):
        grids = (self.adam_rates, self.sgd_rates, self.sgd_momenta, self.dampings, self.channels)
        if not all(grids):
            raise UserError(
                "adam-rates, sgd-rates, sgd-momenta, dampings and channels must not be empty"
            )
        if min(self.steps, self.kfac_steps, self.classifier_steps) < 10 or self.points < 10:
            raise UserError("steps, kfac-steps, classifier-steps and points must be at least 10")
        if max(self.sgd_momenta) == 1:
            raise UserError("sgd-momenta must be below 1")


def autoencoder_race(key: jax.Array, cfg: Config) -> Result:
    """K-FAC by its quadratic model, Adam and SGD on the autoencoder."""
    sgd_grid = [(rate, momentum) for momentum in cfg.sgd_momenta for rate in cfg.sgd_rates]
    nesterov = lambda setting: optax.sgd(setting[0], setting[1], nesterov=True)
    contenders = {
        "kfac": Contender(adaptive_kfac, cfg.dampings, cfg.kfac_steps),
        "adam": Contender(optax.adam, cfg.adam_rates, cfg.steps),
        "sgd": Contender(nesterov, sgd_grid, cfg.steps),
    }
    goal = Goal(cfg.target, window=10)
    outcomes = race(autoencoder(cfg.sizes), contenders, goal, cfg.batch, cfg.seeds, key)
    return race_result("autoencoder", outcomes, goal)


def classifier_race(key: jax.Array, cfg: Config) -> Result:
    """K-FAC in a trust region and Adam on the classifier."""
    trust_region = lambda damping: kfac(0.1, damping, every=2, kl_clip=0.03)
    contenders = {
        "kfac": Contender(trust_region, cfg.dampings, cfg.classifier_steps),
        "adam": Contender(optax.adam, cfg.adam_rates, cfg.classifier_steps),
    }
    goal = Goal(cfg.classifier_target, window=5)
    outcomes = race(classifier(cfg.channels), contenders, goal, cfg.batch, cfg.seeds, key)
    return race_result("classifier", outcomes, goal)


def study(cfg: Config) -> dict[str, Part]:
    """Invariances and matrices in closed form, then races on the digits."""
    return {
        "invariance": invariance,
        "fisher_blocks": fisher_blocks,
        "fields": functools.partial(fields, points=cfg.points),
        "autoencoder_race": functools.partial(autoencoder_race, cfg=cfg),
        "classifier_race": functools.partial(classifier_race, cfg=cfg),
    }
