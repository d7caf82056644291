"""The manifold hypothesis: data in many dimensions lie near a surface of few dimensions.

    dimensions      intrinsic dimension of spheres, swiss rolls and the handwritten digits
    autoencoder_*   held-out error of an autoencoder over the width of its code
    field_*         the field r(y) - y = s^2 grad log p_s(y) of a denoiser, which points to the data

Source: Tenenbaum, de Silva & Langford 2000; Bengio, Courville & Vincent 2013, arXiv:1206.5538,
section 8; Pope et al. 2021, arXiv:2104.08894.
"""

import functools

from panorax.core.errors import UserError
from panorax.core.ranges import Count, Positive, Whole, checked
from panorax.core.study import Part
from panorax.theory.manifold.autoencoders import autoencoder_digits, autoencoder_roll
from panorax.theory.manifold.denoisers import field_circle, field_digits, field_roll
from panorax.theory.manifold.dimensions import dimensions


@checked
class Config:
    points: Count = 2000
    """points of a swiss roll, a sphere or the circle"""
    spheres: tuple[Count, ...] = (1, 2, 5, 10)
    """dimensions of the spheres"""
    neighbors: tuple[Count, ...] = (5, 10, 20, 50, 100)
    """numbers of neighbours of the dimension estimates; metrics without a number use the second"""
    roll_widths: tuple[Count, ...] = (1, 2, 3)
    """code widths of the autoencoders of the swiss roll"""
    digit_widths: tuple[Count, ...] = (1, 2, 4, 6, 8, 10, 12, 16, 24, 32, 48)
    """code widths of the autoencoders of the digits"""
    hidden: tuple[Count, ...] = (256, 128)
    """hidden widths of every network"""
    steps: Count = 4000
    """training steps of the networks of the digits and the circle"""
    roll_steps: Count = 20_000
    """training steps of the networks of the swiss roll, which has to be unrolled"""
    batch: Count = 128
    """points per training step"""
    seeds: Count = 3
    """seeds of each autoencoder, whose median error counts"""
    field_noise: Positive = 0.1
    """standard deviation of the noise of the swiss roll's denoiser"""
    seed: Whole = 0
    """seed of all random numbers"""

    def __post_init__(self):
        if len(self.neighbors) < 2 or min(self.neighbors) < 3 or self.points <= max(self.neighbors):
            raise UserError(
                "neighbors needs two numbers or more, each from 3 to the number of points less 1"
            )
        if self.roll_widths[:2] != (1, 2) or len(self.digit_widths) < 2:
            raise UserError("roll-widths must begin with 1, 2; digit-widths needs at least two")


def study(cfg: Config) -> dict[str, Part]:
    """Dimensions of clouds, errors of autoencoders, fields of denoisers."""
    short = {"hidden": cfg.hidden, "steps": cfg.steps, "batch": cfg.batch}
    long = short | {"steps": cfg.roll_steps}
    return {
        "dimensions": functools.partial(
            dimensions, points=cfg.points, spheres=cfg.spheres, neighbors=cfg.neighbors
        ),
        "autoencoder_roll": functools.partial(
            autoencoder_roll, points=cfg.points, widths=cfg.roll_widths, seeds=cfg.seeds, **long
        ),
        "autoencoder_digits": functools.partial(
            autoencoder_digits, widths=cfg.digit_widths, seeds=cfg.seeds, **short
        ),
        "field_circle": functools.partial(field_circle, points=cfg.points, **short),
        "field_roll": functools.partial(
            field_roll, noise=cfg.field_noise, points=cfg.points, **long
        ),
        "field_digits": functools.partial(field_digits, **short),
    }
