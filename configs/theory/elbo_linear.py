"""The linear autoencoder: maximising the evidence lower bound recovers probabilistic PCA.

Command: panorax run theory/elbo_linear
"""

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.core.optim import AdamW
from panorax.theory.elbo import Config

NOISE = (
    "Tipping & Bishop 1999: at the optimum the variance of the noise is the mean of the "
    "eigenvalues left out"
)
CLAIMS = (
    Claim(
        "train_ppca_minus_bound",
        "<",
        0.1,
        "Lucas et al. 2019: at the optimum the bound is the log likelihood of probabilistic PCA "
        "(nats per image)",
    ),
    Claim(
        "train_ppca_minus_bound",
        ">",
        -0.1,
        "Tipping & Bishop 1999: no linear model exceeds the likelihood of probabilistic PCA "
        "(nats per image, up to sampling error)",
    ),
    Claim("noise_over_ppca", "<", 1.01, NOISE),
    Claim("noise_over_ppca", ">", 0.99, NOISE),
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
