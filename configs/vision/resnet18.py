"""ResNet-18 on 224x224 images of 1,000 classes: 11,689,512 parameters.

Paper: He et al. 2016 (arXiv:1512.03385), table 1.
Command, on a machine that holds the data: panorax run vision/resnet18 --data.path IMAGES.npz
"""

from panorax.configs.vision.classifier import smoke as smoke

from panorax.core.config import Run
from panorax.core.optim import SGD
from panorax.data.images import Config as Images
from panorax.nets.convolutional.resnet import Config as ResNet
from panorax.vision.classifier import Config

PARAMETERS = 11_689_512


def get_config() -> Config:
    return Config(
        net=ResNet("basic", (64, 128, 256, 512), (2, 2, 2, 2), stem="imagenet", dtype="bfloat16"),
        data=Images(path="images.npz", size=224, channels=3, classes=1000),
        optim=SGD(peak_lr=0.1, warmup=25_000, weight_decay=1e-4),
        run=Run(steps=450_000, chunk=1, eval_every=5000, save_every=5000),
        batch=256,
        shift=16,
        border="reflect",
        flip=True,
        mean=(0.485, 0.456, 0.406),
        deviation=(0.229, 0.224, 0.225),
    )
