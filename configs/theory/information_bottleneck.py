"""The information bottleneck: curves beside the exact ones, and what a variational bottleneck keeps of digits as compression weighs more.

Command: panorax run theory/information_bottleneck (1 minute on one core). The curves are the exact ones; accuracy stays up to a beta near 1, then collapses.
"""

from panorax.core.claims import Claim
from panorax.theory.information_bottleneck import Config

CLAIMS = (
    Claim(
        "binary_gap",
        "<",
        1e-6,
        "Wyner & Ziv 1973: the exact curve of a bit through a symmetric channel, nats",
    ),
    Claim(
        "gaussian_gap",
        "<",
        0.01,
        "Chechik et al. 2005: the exact curve of normal numbers, on a grid, nats",
    ),
    Claim(
        "processing_excess", "<", 1e-9, "data processing: I(T; Y) <= I(X; T) and I(T; Y) <= I(X; Y)"
    ),
    Claim("chord_outside", "<", 1e-6, "Tishby et al. 1999: the curve is concave, of slope 1 / b"),
    Claim(
        "largest_rise_of_rate",
        "<=",
        0.0,
        "Alemi et al. 2017: the heavier the compression, the lower the rate",
    ),
    Claim(
        "lowest_accuracy_at_small_beta",
        ">=",
        0.95,
        "Alemi et al. 2017: over three orders of magnitude of beta nothing is lost",
    ),
    Claim(
        "accuracy_at_largest_beta",
        "<",
        0.2,
        "Kolchinsky et al. 2019: above beta = 1 it pays to say nothing",
    ),
    Claim("rate_at_largest_beta", "<", 0.01, "Kolchinsky et al. 2019: the same, nats"),
    Claim(
        "information_over_rate",
        "<=",
        0.005,
        "data processing: I(Z; Y) <= I(Z; X) at every beta; nats, loss by sampling",
    ),
    Claim("largest_information", "<=", "class_entropy", "data processing: I(Z; Y) <= H(Y)"),
    Claim(
        "best_held_out_information",
        ">",
        "held_out_information_at_smallest_beta",
        "Alemi et al. 2017: compression generalises better than none",
    ),
)
ORACLE = "Mrs Gerber's lemma, the Gaussian bottleneck in closed form; scipy's optimiser"


def get_config() -> Config:
    return Config()


def smoke() -> Config:
    return Config(
        bins=4,
        points=3,
        iterations=20,
        betas=(1e-3, 1.0),
        latent=2,
        hidden=4,
        steps=3,
        batch=4,
        samples=2,
        seeds=2,
    )
