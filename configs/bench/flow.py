"""Flow matching on digits with a U-Net, beside PyTorch eager: training, sampling and convolutions.

Sampling takes 8 steps of Heun's method. Competitor: the same network, diffusers 0.42.1
`UNet2DModel`, torch 2.13.0, with the same weights, batches and noise.

Command: panorax bench bench/flow (needs `pip install 'panorax[bench]'`)
"""

import dataclasses

from panorax.bench.flow import Config
from panorax.core.claims import Claim

CLAIMS = (
    Claim(
        "training_panorax_ratio",
        ">=",
        1.0,
        "Panorax: training at batch 128 on one device is as fast as PyTorch eager",
    ),
    Claim(
        "sampling_panorax_ratio",
        ">=",
        1.0,
        "Panorax: drawing 100 samples in 8 Heun steps on one device is as fast as PyTorch eager",
    ),
    Claim(
        "training_panorax_two_devices_ratio",
        ">=",
        1.0,
        "Panorax: training at batch 128 with one device per core is as fast as PyTorch eager",
    ),
    Claim(
        "sampling_panorax_two_devices_ratio",
        ">=",
        1.0,
        "Panorax: drawing 100 samples in 8 Heun steps with one device per core is as fast as"
        " PyTorch eager",
    ),
    Claim(
        "largest_loss_difference",
        "<",
        1e-4,
        "Panorax: the first five losses of all contenders agree within 1e-4",
    ),
    Claim(
        "largest_pixel_difference",
        "<",
        1e-3,
        "Panorax: the sampled pixels of all contenders agree within 1e-3 (black is -1, white 1)",
    ),
    Claim(
        "convolution_largest_difference",
        "<",
        1e-4,
        "Panorax: after four gradient steps all full convolutions leave images and kernels of equal"
        " norm, within 1e-4",
    ),
    Claim(
        "depthwise_largest_difference",
        "<",
        1e-4,
        "Panorax: after four gradient steps all depthwise convolutions leave images and kernels of"
        " equal norm, within 1e-4",
    ),
)


def get_config() -> Config:
    return Config()


def quick() -> Config:
    """The size of `panorax bench --check`."""
    return dataclasses.replace(get_config(), rounds=3)
