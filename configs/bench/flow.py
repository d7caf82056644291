"""Flow matching on digits with a U-Net, images a second in training and in sampling by 8 steps of Heun's method, beside PyTorch eager.

Competitor: the same network, diffusers 0.42.1 `UNet2DModel`, torch 2.13.0, with the same weights, batches and noise.
Command: panorax bench bench/flow      about 3 minutes on 2 cores; needs `pip install 'panorax[bench]'`
"""

import dataclasses

from panorax.bench.flow import Config
from panorax.core.claims import Claim

CLAIMS = (
    Claim("training_panorax_ratio", ">=", 1.0, "training, batch 128"),
    Claim("sampling_panorax_ratio", ">=", 1.0, "100 samples, 8 Heun steps"),
    Claim("largest_loss_difference", "<", 1e-4, "first five losses of both"),
    Claim("largest_pixel_difference", "<", 1e-3, "pixels of the samples of both, black being -1 and white 1"),
)


def get_config() -> Config:
    return Config()


def quick() -> Config:
    """For the guard."""
    return dataclasses.replace(get_config(), rounds=3)
