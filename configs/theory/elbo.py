"""A variational autoencoder of digits: the evidence lower bound and its importance-weighted bounds.

Command: panorax run theory/elbo
"""

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.core.optim import AdamW
from panorax.theory.elbo import Config

CLAIMS = (
    Claim(
        "held_out_bound_10",
        ">",
        "held_out_bound_1",
        "Burda et al. 2016: ten samples give a tighter bound than one",
    ),
    Claim(
        "held_out_bound_1000",
        ">",
        "held_out_bound_10",
        "Burda et al. 2016: a thousand samples give a tighter bound than ten",
    ),
    Claim(
        "held_out_bound_1000",
        ">",
        "held_out_ppca",
        "Panorax: a nonlinear model of digits has a higher held-out likelihood than the best "
        "linear model with as many dimensions",
    ),
)
ORACLE = "scikit-learn's PCA, scipy's Gaussians; the exact likelihood of the linear model"


def get_config() -> Config:
    return Config(
        optim=AdamW(peak_lr=2e-3, warmup=50, weight_decay=0.01, b2=0.99),
        run=Run(steps=2000, chunk=50, eval_every=250, save_every=500),
    )


def smoke() -> Config:
    return Config(
        latent=2,
        hidden=(4,),
        batch=4,
        optim=AdamW(peak_lr=3e-2, schedule="constant"),
        run=Run(steps=4, chunk=2),
        importance=(1, 3),
    )
