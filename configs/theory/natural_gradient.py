"""Natural gradients and K-FAC: invariance to the parameters, blocks in closed form, steps beside Adam and SGD on digits, the empirical Fisher matrix apart.

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
        "Amari 1998: a natural step is the same function in affinely other parameters (float64)",
    ),
    Claim("affine_gap_plain", ">", 0.1, "which a plain one is not"),
    Claim(
        "curved_gap_order",
        ">",
        1.9,
        f"{PAPER}, section 1: in other parameters of any kind the same but for the square of its length",
    ),
    Claim(
        "kfac_gap",
        "<",
        1e-10,
        f"{PAPER}, theorem 1: K-FAC is invariant to affine maps around the layers",
    ),
    Claim("kfac_gap_damped", ">", 1e-3, f"{PAPER}, section 10: without damping alone"),
    Claim("block_gap_one_layer", "<", 1e-12, "the block of a linear layer is E a a^T (x) I"),
    Claim(
        "block_gap_deep_linear", "<", 1e-12, "and that of each layer of a deep linear net A (x) G"
    ),
    Claim(
        "autoencoder_steps_kfac",
        "<",
        "autoencoder_steps_adam",
        f"{PAPER}, section 13: fewer steps than Adam",
    ),
    Claim(
        "autoencoder_steps_kfac",
        "<",
        "autoencoder_steps_sgd",
        f"{PAPER}, section 13: fewer steps than SGD with momentum",
    ),
    Claim(
        "classifier_steps_kfac",
        "<",
        "classifier_steps_adam",
        "Grosse & Martens 2016, section 5: fewer steps with convolutions too",
    ),
    Claim("sampled_fisher_gap", "<", 0.02, "labels drawn from the model give the Fisher matrix"),
    Claim(
        "least_cosine_natural",
        ">",
        0.999,
        f"{KUNSTNER}, figure 1: natural gradients of least squares point to the minimum",
    ),
    Claim("least_cosine_empirical", "<", 0.9, "those of the empirical matrix do not everywhere"),
    Claim(
        "length_empirical_far_over_near",
        "<",
        0.1,
        f"{KUNSTNER}, section 3: and shrink with the distance, by its square",
    ),
    Claim(
        "empirical_over_fisher_wrong_noise",
        ">",
        3.5,
        f"{KUNSTNER}, section 3.1: at the minimum it is off by the variance, 4 here, where the model is wrong",
    ),
    Claim("empirical_over_fisher_right_noise", "<", 1.15, "and right, 1, where the model is"),
)
ORACLE = (
    "curvlinops' K-FAC of a perceptron and of a convolutional net; the block of a linear "
    "layer in closed form; dense Jacobians"
)


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(
        sizes=(64, 6, 64), steps=12, kfac_steps=12, batch=16, channels=(2,), classifier_steps=12, adam_rates=(1e-2,), sgd_rates=(1e-2,),
        sgd_momenta=(0.9,), dampings=(1.0,), seeds=1, points=50,
    )  # fmt: skip
