"""CIFAR-10: a small ResNet classifies 32x32 photographs, with random shifts and mirroring.

Papers: He et al. 2016 (arXiv:1512.03385), Krizhevsky 2009, Jordan 2024 (arXiv:2404.00498).
Command: panorax run vision/cifar10 --data.path FOLDER

FOLDER holds the data set in its binary format (`data_batch_1.bin` to `test_batch.bin`). On a CPU,
set XLA_FLAGS=--xla_cpu_experimental_ynn_fusion_type= first: gradients of convolutions are then
faster.
"""

from panorax.configs.vision.classifier import ORACLE as ORACLE
from panorax.configs.vision.classifier import smoke as smoke

from panorax.core.claims import Claim
from panorax.core.config import Run
from panorax.core.optim import Muon
from panorax.data.images import Config as Images
from panorax.nets.convolutional.resnet import Config as ResNet
from panorax.vision.classifier import Config

CLAIMS = (
    Claim(
        "eval_accuracy",
        ">=",
        0.90,
        "Panorax: a small ResNet classifies 90% of the CIFAR-10 test images correctly after 20 "
        "minutes on two cores",
    ),
)


def get_config() -> Config:
    return Config(
        net=ResNet(widths=(64, 128, 256), blocks=(1, 1, 1), stem="strided", zero_branches=True),
        data=Images(path="cifar-10-batches-bin", size=32, channels=3),
        optim=Muon(
            peak_lr=0.08,
            warmup=200,
            schedule="linear",
            beta=0.85,
            adam_lr=5e-3,
            b2=0.99,
            weight_decay=0.03,
        ),
        run=Run(steps=1600, chunk=10, eval_every=400, save_every=400),
        batch=256,
        smoothing=0.1,
        shift=2,
        border="reflect",
        flip=True,
        mean=(0.4914, 0.4822, 0.4465),
        deviation=(0.2470, 0.2435, 0.2616),
    )
