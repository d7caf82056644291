"""CIFAR-10: a small ResNet classifies 32x32 photographs, with random shifts and mirroring.

Papers: He et al. 2016 (arXiv:1512.03385), Krizhevsky 2009.
Command: panorax run vision/cifar10 --data.path FOLDER      (CIFAR-10 in its binary format)
"""

from panorax.configs.vision.classifier import ORACLE as ORACLE
from panorax.configs.vision.classifier import smoke as smoke

from panorax.core.config import Run
from panorax.core.optim import Muon
from panorax.data.images import Config as Images
from panorax.nets.convolutional.resnet import Config as ResNet
from panorax.vision.classifier import Config


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
        run=Run(steps=2000, chunk=10, eval_every=500, save_every=500),
        batch=256,
        smoothing=0.1,
        shift=2,
        border="reflect",
        flip=True,
        mean=(0.4914, 0.4822, 0.4465),
        deviation=(0.2470, 0.2435, 0.2616),
    )
