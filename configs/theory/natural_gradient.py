"""Natural gradients and K-FAC: invariance, exact blocks, empirical Fisher, races on digits.

Command: panorax run theory/natural_gradient
"""

from panorax.core.claims import Claim
from panorax.theory.natural_gradient.study import Config

PAPER, KUNSTNER = "Martens & Grosse 2015", "Kunstner et al. 2019"
CLAIMS = (
    Claim(
        "affine_gap_natural",
        "<",
        1e-10,
        "Amari 1998: natural steps are invariant to affine maps of the parameters (float64)",
    ),
    Claim(
        "affine_gap_plain",
        ">",
        0.1,
        "Amari 1998: gradient steps are not invariant to affine maps of the parameters",
    ),
    Claim(
        "curved_gap_order",
        ">",
        1.9,
        f"{PAPER}, section 1: under any smooth change of parameters natural steps agree to first "
        "order (order of their difference)",
    ),
    Claim(
        "kfac_gap",
        "<",
        1e-10,
        f"{PAPER}, theorem 1: K-FAC is invariant to affine maps around the layers",
    ),
    Claim(
        "kfac_gap_damped",
        ">",
        1e-3,
        f"{PAPER}, section 10: damping breaks the invariance of K-FAC",
    ),
    Claim(
        "block_gap_one_layer",
        "<",
        1e-12,
        "closed form: the Fisher matrix of a linear layer is E a a^T (x) I",
    ),
    Claim(
        "block_gap_deep_linear",
        "<",
        1e-12,
        "closed form: each block of the Fisher matrix of a deep linear net is A (x) G",
    ),
    Claim(
        "autoencoder_steps_kfac",
        "<",
        "autoencoder_steps_adam",
        f"{PAPER}, section 13: K-FAC trains an autoencoder in fewer steps than Adam",
    ),
    Claim(
        "autoencoder_steps_kfac",
        "<",
        125,
        "Panorax: K-FAC reaches the target loss of the autoencoder in fewer than half of the 250 "
        "steps that it may take; Adam and SGD may take 2000",
    ),
    Claim(
        "classifier_steps_kfac",
        "<",
        "classifier_steps_adam",
        "Grosse & Martens 2016, section 5: K-FAC trains convolutions in fewer steps than Adam",
    ),
    Claim(
        "sampled_fisher_gap",
        "<",
        0.02,
        "definition: labels sampled from the model estimate the Fisher matrix",
    ),
    Claim(
        "least_cosine_natural",
        ">",
        0.999,
        f"{KUNSTNER}, figure 1: natural gradients of least squares point to the minimum",
    ),
    Claim(
        "least_cosine_empirical",
        "<",
        0.9,
        f"{KUNSTNER}, figure 1: empirical natural gradients do not all point to the minimum",
    ),
    Claim(
        "length_empirical_far_over_near",
        "<",
        0.1,
        f"{KUNSTNER}, section 3: empirical natural gradients are too short far from the minimum",
    ),
    Claim(
        "empirical_over_fisher_wrong_noise",
        ">",
        3.5,
        f"{KUNSTNER}, section 3.1: at noise variance 4 the empirical matrix is 4 times too large",
    ),
    Claim(
        "empirical_over_fisher_right_noise",
        "<",
        1.15,
        f"{KUNSTNER}, section 3.1: at the model's noise variance the matrices agree",
    ),
)
ORACLE = (
    "curvlinops' K-FAC of a perceptron and of a convolutional net; the block of a linear "
    "layer in closed form; dense Jacobians"
)


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(
        sizes=(64, 6, 64),
        steps=12,
        kfac_steps=12,
        batch=16,
        channels=(2,),
        classifier_steps=12,
        adam_rates=(1e-2,),
        sgd_rates=(1e-2,),
        sgd_momenta=(0.9,),
        dampings=(1.0,),
        seeds=1,
        points=50,
    )
