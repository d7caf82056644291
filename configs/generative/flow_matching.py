"""Handwritten digits by class-conditional flow matching with a small DiT and guidance.

Papers: Lipman et al. 2023 (arXiv:2210.02747), Liu et al. 2023 (arXiv:2209.03003),
Ho & Salimans 2022 (arXiv:2207.12598).
Command: panorax run generative/flow_matching
"""

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.core.optim import AdamW
from panorax.data.images import Config as Digits
from panorax.generative.flow_matching import Config
from panorax.nets.dit import Config as DiT

FEW_STEPS = "Liu et al. 2023: straight paths give samples of the requested class in few Euler steps"
CLOSER = "Panorax: more Euler steps bring the samples closer to the held-out digits"
CLAIMS = (
    Claim(
        "judge_accuracy",
        ">=",
        0.97,
        "Panorax: the judging classifier recognises at least 97% of the held-out digits",
    ),
    Claim("accuracy_8_steps", ">=", 0.95, FEW_STEPS),
    Claim("accuracy_4_steps", ">=", 0.9, FEW_STEPS),
    Claim("frechet_50_steps", "<", "frechet_4_steps", CLOSER),
    Claim("frechet_4_steps", "<", "frechet_1_steps", CLOSER),
    Claim(
        "sample_to_train",
        ">=",
        "held_out_to_train",
        "Panorax: samples lie no nearer to the training images than held-out images do "
        "(median distance to the nearest)",
    ),
)
ORACLE = (
    "the velocity between Gaussians in closed form; diffusers' "
    "FlowMatchEulerDiscreteScheduler and UNet2DModel; scipy's solve_ivp"
)


def get_config() -> Config:
    return Config(
        net=DiT(patch=2, d_model=96, n_layers=4, n_heads=4, d_ff=384),
        data=Digits(),
        optim=AdamW(peak_lr=1e-3, final_lr=1e-5, warmup=100, b2=0.99, weight_decay=0.01),
        run=Run(steps=2000, chunk=20, eval_every=500, save_every=500),
        batch=128,
        guidance=1.25,
    )


def smoke() -> Config:
    return Config(
        net=DiT(patch=4, d_model=16, n_layers=1, n_heads=2, d_ff=16),
        data=Digits(per_class=2, judge_steps=4, euler_steps=(1, 2)),
        optim=AdamW(peak_lr=3e-3, schedule="constant"),
        run=Run(steps=8, chunk=4),
        batch=8,
    )
