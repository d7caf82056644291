"""Flow matching on digits with a U-Net, images a second in training and in sampling by 8 steps of Heun's method, beside PyTorch eager.

Below them, ways to convolve.

Competitor: the same network, diffusers 0.42.1 `UNet2DModel`, torch 2.13.0, with the same weights, batches and noise.
Command: panorax bench bench/flow      about 5 minutes on 2 cores; needs `pip install 'panorax[bench]'`
"""

import dataclasses

from panorax.bench.flow import Config
from panorax.core.claims import Claim

CLAIMS = (
    Claim("training_panorax_ratio", ">=", 1.0, "training, batch 128, on one device"),
    Claim("sampling_panorax_ratio", ">=", 1.0, "100 samples, 8 Heun steps, on one device"),
    Claim(
        "training_panorax_two_devices_ratio",
        ">=",
        1.0,
        "training, batch 128, a device for each core",
    ),
    Claim(
        "sampling_panorax_two_devices_ratio",
        ">=",
        1.0,
        "100 samples, 8 Heun steps, a device for each core",
    ),
    Claim("largest_loss_difference", "<", 1e-4, "first five losses of all"),
    Claim(
        "largest_pixel_difference",
        "<",
        1e-3,
        "pixels of the samples of all, black being -1 and white 1",
    ),
    Claim(
        "convolution_largest_difference",
        "<",
        1e-4,
        "norms of images and kernel after four steps down the gradient",
    ),
    Claim("depthwise_largest_difference", "<", 1e-4, "the same of each channel alone"),
)


def get_config() -> Config:
    return Config()


def quick() -> Config:
    """For the guard."""
    return dataclasses.replace(get_config(), rounds=3)
