"""Handwritten digits from noise by flow matching with a U-Net, the network of denoising diffusion, in place of the DiT of generative/flow_matching.

Papers: Lipman et al. 2023 (arXiv:2210.02747), Ho et al. 2020 (arXiv:2006.11239), Ho & Salimans 2022 (arXiv:2207.12598).
Command: panorax run generative/flow_matching_unet --mesh data=2      (a part of the batch for each of two cores)
"""

import dataclasses

from panorax.configs.generative import flow_matching

from panorax.generative.flow_matching import Config
from panorax.nets.unet import Config as UNet

CLAIMS = flow_matching.CLAIMS


def get_config() -> Config:
    return dataclasses.replace(flow_matching.get_config(), net=UNet())


def smoke() -> Config:
    return dataclasses.replace(
        flow_matching.smoke(), net=UNet(channels=(4, 8), head_dim=8, groups=2)
    )
