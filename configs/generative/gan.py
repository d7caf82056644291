"""Handwritten digits by a class-conditional GAN that is stable over ten seeds.

Papers: Goodfellow et al. 2014 (arXiv:1406.2661), Mescheder et al. 2018 (arXiv:1801.04406),
Huang et al. 2024 (arXiv:2501.05441).
Command: panorax run generative/gan
"""

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.core.optim import AdamW
from panorax.data.images import Config as Digits
from panorax.generative.gan import Config
from panorax.nets.conditional_mlp import Config as MLP

NO_MODE_DROPPED = "Huang et al. 2024: the relativistic game with both penalties drops no mode"
CLAIMS = (
    Claim(
        "worst_frechet",
        "<",
        "gaussian_frechet",
        "Panorax: samples of every seed are closer to held-out digits than one Gaussian per class",
    ),
    Claim(
        "worst_frechet",
        "<",
        "collapsed_frechet",
        f"{NO_MODE_DROPPED}; every seed has a smaller Frechet distance than 20 images per class",
    ),
    Claim(
        "worst_coverage",
        ">",
        "collapsed_coverage",
        f"{NO_MODE_DROPPED}; every seed has a larger coverage than 20 images per class",
    ),
    Claim("worst_classes", "==", 10, f"{NO_MODE_DROPPED}; every seed generates all ten digits"),
    Claim(
        "worst_diversity",
        ">=",
        0.71,
        f"{NO_MODE_DROPPED}; every class of every seed keeps at least half of its variance",
    ),
    Claim(
        "worst_accuracy",
        ">=",
        0.95,
        "Panorax: at least 95% of the samples of every seed show the requested digit",
    ),
    Claim(
        "judge_accuracy",
        ">=",
        0.97,
        "Panorax: the judging classifier recognises at least 97% of the held-out digits",
    ),
)
ORACLE = (
    "torch losses and gradients of both players with penalties; "
    "the optimal discriminator and the Dirac-GAN in closed form"
)
OVERFITS = "mean_gap"


def get_config() -> Config:
    optim = AdamW(peak_lr=3e-3, final_lr=3e-4, b1=0.0, b2=0.99, clip=100.0)
    return Config(
        data=Digits(),
        generator_optim=optim,
        discriminator_optim=optim,
        run=Run(steps=2000, chunk=50, eval_every=250, save_every=500),
    )


def smoke() -> Config:
    optim = AdamW(peak_lr=3e-3, schedule="constant", b1=0.0, b2=0.99, eps=1e-4, clip=100.0)
    players = MLP(hidden=(16,), label_width=8)
    return Config(
        generator=players,
        discriminator=players,
        data=Digits(per_class=12, judge_steps=10),
        generator_optim=optim,
        discriminator_optim=optim,
        run=Run(steps=8, chunk=4),
        batch=16,
        latent=8,
        seeds=2,
    )
