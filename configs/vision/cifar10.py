"""CIFAR-10: a small ResNet learns the class of photographs of 32x32, with shifts and mirror images.

Papers: He et al. 2016 (arXiv:1512.03385), Krizhevsky 2009.
Command: panorax run vision/cifar10 --data.path FOLDER      (the data set's binary format)
"""

from panorax.configs.vision.classifier import ORACLE as ORACLE
from panorax.configs.vision.classifier import smoke as smoke

from panorax.core.config import Run
from panorax.core.optim import SGD
from panorax.data.images import Config as Images
from panorax.nets.convolutional.resnet import Config as ResNet
from panorax.vision.classifier import Config


def get_config() -> Config:
    return Config(
        net=ResNet(widths=(32, 64, 128), blocks=(1, 1, 1), zero_branches=True),
        data=Images(path="cifar-10-batches-bin", size=32, channels=3),
        optim=SGD(peak_lr=0.2, warmup=200, schedule="linear", weight_decay=5e-4),
        run=Run(steps=2000, chunk=10, eval_every=500, save_every=500),
        batch=256,
        smoothing=0.1,
        shift=4,
        border="reflect",
        flip=True,
        mean=(0.4914, 0.4822, 0.4465),
        deviation=(0.2470, 0.2435, 0.2616),
        neighbors=1000,
    )
