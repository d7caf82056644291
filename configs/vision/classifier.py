"""Handwritten digits: a small ResNet classifies scikit-learn's 8x8 images.

The baseline is the nearest neighbour.

Paper: He et al. 2016 (arXiv:1512.03385).
Command: panorax run vision/classifier
"""

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.core.optim import SGD
from panorax.data.images import Config as Images
from panorax.nets.convolutional.resnet import Config as ResNet
from panorax.vision.classifier import Config

CLAIMS = (
    Claim(
        "eval_accuracy",
        ">=",
        0.97,
        "Panorax: a small ResNet classifies at least 97% of the held-out digits correctly",
    ),
    Claim(
        "eval_accuracy",
        ">",
        "nearest_neighbor_accuracy",
        "Panorax: a small ResNet classifies more held-out digits correctly than nearest neighbour",
    ),
)
ORACLE = (
    "torchvision's ResNet written in torch: logits, gradients, running statistics, parameter counts"
)


def get_config() -> Config:
    return Config(
        net=ResNet(widths=(32, 64, 128), blocks=(1, 1, 1), zero_branches=True),
        data=Images(),
        optim=SGD(peak_lr=0.1, warmup=50, weight_decay=5e-4),
        run=Run(steps=500, chunk=20, eval_every=100, save_every=250),
        batch=128,
        smoothing=0.1,
        shift=1,
        neighbors=1000,
    )


def smoke() -> Config:
    return Config(
        net=ResNet(widths=(8,), blocks=(1,), stochastic_depth=0.1),
        optim=SGD(peak_lr=0.05, schedule="constant"),
        run=Run(steps=4, chunk=2),
        batch=8,
        shift=1,
        flip=True,
        neighbors=10,
    )
