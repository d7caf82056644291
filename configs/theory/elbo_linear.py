"""The linear autoencoder: what the evidence lower bound learns is probabilistic PCA, and the bound is its likelihood.

Command: panorax run theory/elbo_linear
"""

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.core.optim import AdamW
from panorax.theory.elbo import Config

CLAIMS = (
    Claim(
        "train_ppca_minus_bound",
        "<",
        0.1,
        "Lucas et al. 2019: at the optimum the bound is the log likelihood of probabilistic PCA, nats an image",
    ),
    Claim(
        "train_ppca_minus_bound",
        ">",
        -0.1,
        "which nothing linear exceeds, up to the error of sampling",
    ),
    Claim("noise_over_ppca", "<", 1.01, "and the noise is what the left-out directions leave"),
    Claim("noise_over_ppca", ">", 0.99, "and the noise is what the left-out directions leave"),
)


def get_config() -> Config:
    return Config(
        hidden=(),
        optim=AdamW(peak_lr=1e-2, warmup=50, b2=0.99),
        run=Run(steps=6000, chunk=100, eval_every=1000, save_every=2000),
    )


def smoke() -> Config:
    return Config(
        latent=2,
        hidden=(),
        batch=4,
        optim=AdamW(peak_lr=3e-2, schedule="constant"),
        run=Run(steps=4, chunk=2),
        importance=(1, 3),
    )
