"""Saddle points: how rare minima are among critical points, and how descent leaves saddles.

    random_fields   critical points of Gaussian random fields, found by Newton's method and counted
                    by the Kac-Rice formula: index grows with value, minima become rare
    escapes         steps of descent with and without noise out of known saddles
    factorisation   all critical points of a matrix factorisation: all but the minimum are strict
    from_zero       descent of a network from weights of 0, a saddle that only noise leaves

Source: Bray & Dean 2007; Dauphin et al. 2014; Jin et al. 2017; Du et al. 2017; Kawaguchi 2016.
"""

import functools

from panorax.core.errors import UserError
from panorax.core.ranges import Count, Positive, Whole, checked
from panorax.core.study import Part
from panorax.theory.saddle_points.critical_points import random_fields
from panorax.theory.saddle_points.escapes import escapes
from panorax.theory.saddle_points.factorisation import factorisation
from panorax.theory.saddle_points.from_zero import from_zero


@checked
class Config:
    searched: Count = 5
    """largest dimension in which critical points are searched"""
    fields: Count = 300
    """random fields searched in each dimension"""
    starts: Count = 300
    """starts of Newton's method in each field"""
    features: Count = 256
    """random waves summed in each field"""
    counted: Count = 20
    """largest dimension in which shares are computed"""
    samples: Count = 20_000
    """GOE matrices sampled for the shares"""
    goe: Count = 1_000_000
    """GOE matrices per batch, tested for positive definiteness"""
    goe_batches: Count = 16
    """batches of GOE matrices"""
    curvatures: tuple[Positive, ...] = (1.0, 0.3, 0.1, 0.03, 0.01)
    """absolute values of the negative curvature at the double well's saddle"""
    dims: tuple[Count, ...] = (10, 100, 1000, 10_000)
    """dimensions of the double well"""
    chain: Count = 8
    """saddles of the longest chain"""
    hidden: Count = 32
    """hidden units of the network that starts from 0"""
    steps: Count = 1500
    """steps of the network's descent"""
    seed: Whole = 0
    """seed of all random numbers"""

    def __post_init__(self):
        if min(self.searched, self.fields, len(self.curvatures), len(self.dims), self.chain) < 2:
            raise UserError(
                "searched, fields, chain and the numbers of curvatures and dims must be at least 2"
            )
        if self.counted < max(self.searched, 3) or self.goe * self.goe_batches < 1000:
            raise UserError(
                "counted must be at least 3 and searched, goe times goe-batches at least 1000"
            )


def study(cfg: Config) -> dict[str, Part]:
    """Critical points of random fields, then descent from saddles."""
    return {
        "random_fields": functools.partial(
            random_fields,
            searched=cfg.searched,
            n_fields=cfg.fields,
            starts=cfg.starts,
            features=cfg.features,
            counted=cfg.counted,
            samples=cfg.samples,
            goe=cfg.goe,
            goe_batches=cfg.goe_batches,
        ),
        "escapes": functools.partial(
            escapes, curvatures=cfg.curvatures, dims=cfg.dims, longest_chain=cfg.chain
        ),
        "factorisation": factorisation,
        "from_zero": functools.partial(from_zero, hidden=cfg.hidden, steps=cfg.steps),
    }
