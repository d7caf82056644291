"""ResNet-50 on 224x224 images of 1,000 classes: 25,557,032 parameters.

Paper: He et al. 2016 (arXiv:1512.03385), table 1.
Command, on a machine that holds the data: panorax run vision/resnet50 --data.path IMAGES.npz
"""

import dataclasses

from panorax.configs.vision import resnet18
from panorax.configs.vision.classifier import smoke as smoke

from panorax.nets.convolutional.resnet import Config as ResNet
from panorax.vision.classifier import Config

PARAMETERS = 25_557_032


def get_config() -> Config:
    net = ResNet(
        "bottleneck",
        (64, 128, 256, 512),
        (3, 4, 6, 3),
        stem="imagenet",
        zero_branches=True,
        dtype="bfloat16",
    )
    return dataclasses.replace(resnet18.get_config(), net=net, smoothing=0.1)
