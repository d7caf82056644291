"""A checkerboard in the plane by flow matching.

Paper: Lipman et al. 2023 (arXiv:2210.02747), figure 4.
Command: panorax run generative/flow_matching_2d [--data.name two_moons]
"""

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.core.optim import AdamW
from panorax.data.densities import Config as Density
from panorax.generative.flow_matching import Config
from panorax.nets.velocity_mlp import Config as MLP

CLAIMS = (
    Claim(
        "distance_euler_50",
        "<",
        0.1,
        "Lipman et al. 2023: the learnt flow maps noise to the density of the data",
    ),
    Claim(
        "distance_heun_8",
        "<",
        "distance_euler_8",
        "Panorax: Heun's method, of second order, is more accurate than Euler's at equal steps",
    ),
    Claim(
        "distance_euler_50",
        "<",
        "distance_euler_4",
        "Panorax: more Euler steps bring the samples closer to the density",
    ),
)


def get_config() -> Config:
    return Config(
        net=MLP(),
        data=Density("checkerboard"),
        optim=AdamW(peak_lr=2e-3, final_lr=1e-5, warmup=100, b2=0.99),
        run=Run(steps=6000, chunk=100, eval_every=2000, save_every=2000),
        batch=512,
        label_dropout=0.0,
        guidance=1.0,
    )


def smoke() -> Config:
    return Config(
        net=MLP(hidden=(16,), time_width=8),
        data=Density("gaussian", n=64),
        optim=AdamW(peak_lr=1e-2, schedule="constant"),
        run=Run(steps=8, chunk=4),
        batch=16,
        label_dropout=0.0,
        guidance=1.0,
    )
