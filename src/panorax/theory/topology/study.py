"""Topology of data: persistent homology of shapes, digits and layers; separable dichotomies.

    shapes      diagrams of clouds on shapes with known Betti numbers
    stability   bottleneck distance of the diagrams of near clouds, over its bound
    digits      spanning tree and diagrams of the handwritten digits
    network     Betti numbers of a class of linked rings, layer by layer
    cover       Cover's count of the dichotomies that a hyperplane separates

Source: Adamaszek & Adams 2017; Chazal, de Silva & Oudot 2014; Naitzat, Zhitnikov & Lim 2020; Cover
1965.
"""

import functools

from panorax.core.errors import UserError
from panorax.core.ranges import Count, Positive, Whole, checked
from panorax.core.study import Part
from panorax.maths.topology.separability import MOST
from panorax.theory.topology.cover import cover
from panorax.theory.topology.homology import digits, shapes, stability
from panorax.theory.topology.untangling import NEIGHBOURS, network


@checked
class Config:
    circle: Count = 60
    """evenly spaced points on the circle, a multiple of 3"""
    eight: Count = 100
    """points on the figure eight"""
    sphere: Count = 120
    """points on the sphere"""
    torus: Count = 200
    """points on the torus"""
    digits: Count = 1442
    """pictures of digits, of all classes"""
    displaced: Count = 20
    """clouds whose diagrams are compared for stability"""
    pairs: Count = 3
    """pairs of linked rings"""
    ring: Count = 100
    """points of each ring"""
    width: Count = 12
    """hidden width of the networks that can separate the rings"""
    layers: Count = 6
    """hidden layers of the networks"""
    steps: Count = 3000
    """training steps of each network"""
    lr: Positive = 3e-3
    """learning rate of each network"""
    seeds: Count = 8
    """networks trained for each activation"""
    bits: Count = 4
    """bits of the Boolean functions, at most 4"""
    few: Count = 8
    """points whose dichotomies are enumerated, in 1 to `few` dimensions; at most 16"""
    dimensions: tuple[Count, ...] = (5, 20, 50)
    """dimensions in which dichotomies are sampled"""
    trials: Count = 250
    """sampled dichotomies of each share"""
    seed: Whole = 0
    """seed of all random numbers"""

    def __post_init__(self):
        if self.circle % 3 or self.circle < 6:
            raise UserError("circle must be a multiple of 3, and at least 6")
        if self.digits < 50:
            raise UserError("digits must be at least 50, so that it has every class")
        if min(self.eight, self.sphere, self.torus) < 10 or self.ring <= NEIGHBOURS:
            raise UserError(f"shapes need at least 10 points, a ring more than {NEIGHBOURS}")
        if self.bits > 4 or self.few > MOST or not self.dimensions:
            raise UserError(f"bits must be at most 4, few at most {MOST}, dimensions not empty")


def study(cfg: Config) -> dict[str, Part]:
    """Homology of clouds, topology of a network's layers, separable dichotomies."""
    return {
        "shapes": functools.partial(
            shapes, circle=cfg.circle, eight=cfg.eight, sphere=cfg.sphere, torus=cfg.torus
        ),
        "stability": functools.partial(stability, clouds=cfg.displaced),
        "digits": functools.partial(digits, n=cfg.digits),
        "network": functools.partial(
            network,
            pairs=cfg.pairs,
            ring=cfg.ring,
            width=cfg.width,
            layers=cfg.layers,
            steps=cfg.steps,
            lr=cfg.lr,
            seeds=cfg.seeds,
        ),
        "cover": functools.partial(
            cover, few=cfg.few, dimensions=cfg.dimensions, trials=cfg.trials, bits=cfg.bits
        ),
    }
