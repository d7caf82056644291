"""Handwritten digits by class-conditional flow matching with a small U-Net and guidance.

Papers: Lipman et al. 2023 (arXiv:2210.02747), Ho et al. 2020 (arXiv:2006.11239),
Ho & Salimans 2022 (arXiv:2207.12598).
Command: panorax run generative/flow_matching_unet --mesh data=2      (half the batch on each core)
Expect: samples lie slightly nearer to the training images than held-out images do. Guidance is the
reason, because it moves samples towards the centre of their class, where training images are near.
With --guidance 1 samples lie as far from training images as held-out images do. With both, no
sample is a copy: the nearest pair is further apart than that of held-out and training images.
"""

import dataclasses

from panorax.configs.generative import flow_matching

from panorax.generative.flow_matching import Config
from panorax.nets.unet import Config as UNet

CLAIMS = flow_matching.CLAIMS


def get_config() -> Config:
    return dataclasses.replace(flow_matching.get_config(), net=UNet())


def smoke() -> Config:
    net = UNet(channels=(4, 8), attention=(False, False), head_dim=4, groups=2)
    return dataclasses.replace(flow_matching.smoke(), net=net)
