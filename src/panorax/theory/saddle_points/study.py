"""Saddle points: what share of critical points are minima in d dimensions, and how descent with and without noise leaves the others.

Critical points of Gaussian random fields are found by Newton's method and counted beside the formula of Kac and Rice
(`panorax.maths.random_fields`): their index grows with their value (Bray & Dean 2007, Dauphin et al. 2014), and minima get rare, though not as
2^-d, which is what independent signs would give. Then descent with and without noise (`panorax.maths.optimisation.perturbed_descent`) from saddles that are
known (`panorax.theory.saddle_points.saddles`), and from the weights zero of a network on the digits: there all gradients vanish, and of two layers the product has
the Hessian of a strict saddle, of three none at all.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from panorax.core.errors import UserError
from panorax.core.ranges import Count, Positive, Whole, checked
from panorax.core.state import Result
from panorax.data import datasets
from panorax.maths import random_fields as fields
from panorax.maths.lanczos import top_eigenpairs
from panorax.maths.optimisation.curvature import hessian_product
from panorax.maths.optimisation.perturbed_descent import Noise, descent, jins
from panorax.theory.saddle_points import saddles


@checked
class Config:
    searched: Count = 5
    """critical points are found in 1 to so many dimensions"""
    fields: Count = 300
    """random fields in each of them"""
    starts: Count = 300
    """of Newton's method, in each field"""
    features: Count = 256
    """waves that a field is made of"""
    counted: Count = 20
    """shares are computed in 1 to so many dimensions"""
    samples: Count = 20_000
    """for each share"""
    goe: Count = 1_000_000
    """matrices at a time whose signs are counted in 1 to 5 dimensions"""
    goe_batches: Count = 16
    curvatures: tuple[Positive, ...] = (1.0, 0.3, 0.1, 0.03, 0.01)
    """that lead out of a saddle"""
    dims: tuple[Count, ...] = (10, 100, 1000, 10_000)
    chain: Count = 8
    """saddles one after the other, at most"""
    hidden: Count = 32
    """of the network that starts from zero"""
    steps: Count = 1500
    """of its descent"""
    seed: Whole = 0

    def __post_init__(self):
        if min(self.searched, self.fields, len(self.curvatures), len(self.dims), self.chain) < 2:
            raise UserError(
                "searched, fields, chain and the numbers of curvatures and dims must be at least 2"
            )
        if self.counted < max(self.searched, 3) or self.goe * self.goe_batches < 1000:
            raise UserError(
                "counted must be at least 3 and searched, goe times goe-batches at least 1000"
            )


def shares(
    matrices, cfg: Config
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """By dimension: the share of minima, its standard error; the shares of all indices, and the mean value of the points of each."""
    least, error, every, energy = [], [], [], []
    for d in range(1, cfg.counted + 1):
        weight, value = (
            np.asarray(part, np.float64) for part in fields.kac_rice(matrices[:, : d + 1, : d + 1])
        )
        share = weight.mean(0) / weight.mean(0).sum()
        left = (weight[:, 0] - share[0] * weight.sum(1)) / weight.mean(0).sum()
        least.append(share[0])
        error.append(left.std(ddof=1) / cfg.samples**0.5)
        every.append(share)
        energy.append((weight * value).sum(0) / weight.sum(0))
    return np.array(least), np.array(error), every, energy


def search(d: int, cfg: Config, key):
    """(numbers of points by field, of minima by field; value, index of each point; share of starts that ended in minima, of those that ended in a
    point)."""
    side = 6 ** (1 / d)

    def one(key):
        key_field, key_starts = jax.random.split(key)
        return fields.critical_points(
            fields.field(key_field, d, cfg.features), key_starts, d, side, cfg.starts
        )

    found = jax.tree.map(
        np.asarray, jax.jit(lambda keys: jax.lax.map(one, keys))(jax.random.split(key, cfg.fields))
    )
    points, minima = found.first.sum(1), (found.first & (found.index == 0)).sum(1)
    return (
        points,
        minima,
        found.value[found.first],
        found.index[found.first],
        float(np.sum(found.valid & (found.index == 0)) / max(found.valid.sum(), 1)),
    )


def landscape(cfg: Config, key):
    """Metrics of the random fields, and what the figure shows."""
    key_shares, key_search, key_goe = jax.random.split(key, 3)
    matrices = fields.goe(key_shares, cfg.samples, cfg.counted + 1)
    least, error, every, energy = shares(matrices, cfg)
    closed = max(abs(least[d - 1] - exact) / error[d - 1] for d, exact in fields.MINIMA.items())
    metrics = {f"minima_d{d}": float(p) for d, p in enumerate(least, 1)}
    metrics |= {
        "kac_rice_closed_form_z": float(closed),
        "minima_rate_early": float(np.log(least[0] / least[1])),
    }
    metrics["minima_rate_late"] = float(np.log(least[-2] / least[-1]))
    metrics["halvings_short_of_2_to_minus_d"] = float(-np.log2(least[-1]) - cfg.counted)
    found, z, energy_z, missed = {}, [], [], []
    for d in range(1, cfg.searched + 1):
        points, minima, value, index, naive = search(d, cfg, jax.random.fold_in(key_search, d))
        expected = (
            float(jnp.mean(fields.points_per_volume(matrices[:, : d + 1, : d + 1])))
            * 6
            * cfg.fields
        )
        left = minima - least[d - 1] * points  # fields are independent, points of one field are not
        found[d] = share = (
            minima.sum() / max(points.sum(), 1),
            (left**2).sum() ** 0.5 / max(points.sum(), 1),
        )
        z.append(abs(share[0] - least[d - 1]) / max(share[1], 1e-3))
        missed.append(abs(points.sum() / expected - 1))
        for k in range(d + 1):
            values = value[index == k]
            if len(values) > 20:
                energy_z.append(
                    abs(values.mean() - energy[d - 1][k])
                    / (values.std(ddof=1) / len(values) ** 0.5)
                )
        metrics |= {
            f"points_d{d}": float(points.sum()),
            f"found_minima_d{d}": float(share[0]),
            f"share_of_starts_in_minima_d{d}": naive,
        }
    metrics |= {
        "found_largest_z": float(max(z)),
        "largest_miscount": float(max(missed)),
        "energy_largest_z": float(max(energy_z, default=0)),
    }
    metrics["index_value_correlation"] = (
        float(np.nan_to_num(np.corrcoef(index, value)[0, 1])) if len(value) > 1 else 0.0
    )
    positive = dict(
        enumerate(
            np.asarray(fields.positive_shares(key_goe, 5, cfg.goe, cfg.goe_batches), np.float64), 1
        )
    )
    n = cfg.goe * cfg.goe_batches
    metrics["goe_closed_form_z"] = max(
        abs(positive[d] - p) / (p * (1 - p) / n) ** 0.5 for d, p in fields.ALL_POSITIVE.items()
    )
    seen = [d for d, p in positive.items() if p > 0]
    metrics["goe_rate"] = float(np.polyfit(seen, [-np.log(positive[d]) for d in seen], 2)[0])
    metrics["goe_rate_over_theirs"] = metrics["goe_rate"] / fields.GOE_RATE
    return metrics, (
        least,
        found,
        positive,
        index,
        value,
        every[cfg.searched - 1],
        energy[cfg.searched - 1],
    )


def escapes(cfg: Config, key) -> tuple[dict[str, float], dict]:
    """Steps out of one saddle over its curvature and over dimensions, with the constants of the theorem; out of a chain of them."""

    keys = jax.random.split(key, 5)

    @jax.jit
    def leave(start, curvature, rate, noise):
        go = lambda key: (
            descent(
                saddles.double_well(curvature),
                start,
                rate,
                200_000,
                Noise(*noise),
                key,
                -(curvature**2) / 8,
            ).steps
        )
        return jnp.median(jax.vmap(go)(keys))

    def out(curvature, d):
        rate, noise = jins(2.0, 6.0, curvature**2 / 24, d, 1.0)
        return float(leave(jnp.zeros(d).at[0].set(1.0), curvature, rate, (*noise,)))

    by_curvature = {g: out(g, cfg.dims[0]) for g in cfg.curvatures}
    by_dimension = {d: out(cfg.curvatures[1], d) for d in cfg.dims}
    stuck = jax.jit(lambda x: descent(saddles.double_well(1.0), x, 0.5, 10_000))(
        jnp.zeros(cfg.dims[0]).at[0].set(1.0)
    )
    f, nu = saddles.octopus()
    chain, noise = (
        {"descent": {}, "with noise": {}},
        Noise(radius=0.1, small=0.2, wait=10, enough=1e-3),
    )
    for d in range(1, cfg.chain + 1):
        starts = jax.random.uniform(jax.random.fold_in(key, d), (5, d), minval=0.5, maxval=1.0)
        through = lambda x, key, d=d: [
            descent(f, x, 0.05, 50_000, kind, key, (0.5 - d) * nu).steps for kind in (None, noise)
        ]
        for name, steps in zip(chain, jax.jit(jax.vmap(through))(starts, keys), strict=True):
            chain[name][d] = float(np.median(steps))
    slope = np.polyfit(
        np.log(1 / np.array(list(by_curvature))), np.log(list(by_curvature.values())), 1
    )[0]
    metrics = {f"steps_curvature_{g:g}": n for g, n in by_curvature.items()} | {
        f"steps_dimension_{d}": n for d, n in by_dimension.items()
    }
    metrics |= {
        f"chain_{name.replace(' ', '_')}_{d}": n
        for name, row in chain.items()
        for d, n in row.items()
    }
    metrics |= {
        "steps_power_of_curvature": float(slope),
        "steps_growth_with_dimension": by_dimension[cfg.dims[-1]] / by_dimension[cfg.dims[0]],
    }
    half = cfg.chain // 2
    metrics |= {
        f"chain_growth_{name.replace(' ', '_')}": (row[cfg.chain] / row[half])
        ** (1 / (cfg.chain - half))
        for name, row in chain.items()
    }
    metrics["saddle_left_without_noise"] = float(jnp.abs(stuck.x[-1]))
    return metrics, {"curvature": by_curvature, "dimension": by_dimension, "chain": chain}


def factors(key) -> dict[str, float]:
    """All critical points of a factorisation, their index beside the closed form; descent from the one at 0."""
    singular, rank = np.array([16.0, 9.0, 4.0, 1.0]), 3
    q, p = (
        np.linalg.qr(np.asarray(jax.random.normal(k, (n, n)), np.float64))[0]
        for k, n in zip(jax.random.split(key), (5, 4), strict=True)
    )
    m, wrong, strict, points = q[:, :4] * singular @ p, 0, 0, 0
    f = saddles.factorisation(m, rank)
    derivatives = jax.jit(lambda x: (jax.grad(f)(x), jax.hessian(f)(x)))
    for subset in itertools.chain(*(itertools.combinations(range(4), n) for n in range(rank + 1))):
        x = saddles.critical_factors(m, rank, subset)
        slope, hessian = derivatives(x)
        values, points = np.linalg.eigvalsh(hessian), points + 1
        wrong += (
            int((values < -1e-8).sum()) != saddles.index_of_factors(singular, rank, subset)
            or float(jnp.abs(slope).max()) > 1e-9
        )
        strict += bool(values[0] < -1e-8)
    f, zero = saddles.factorisation(np.diag(singular), rank), jnp.zeros(2 * 4 * rank)
    noise = Noise(radius=1e-2, small=1e-3, wait=200, enough=1e-6)
    left, stayed = (
        jax.jit(lambda x, kind=kind: descent(f, x, 0.01, 5000, kind, key))(zero)
        for kind in (noise, None)
    )
    least = 0.5 * float(np.sum(singular[rank:] ** 2))
    return {"factors_points": float(points), "factors_wrong_index": float(wrong), "factors_not_strict": float(points - strict),
            "factors_left_over_least": float(left.value) / least, "factors_stayed_at": float(stayed.value)}  # fmt: skip


def lowest_curvature(f, x, key) -> float:
    """The smallest eigenvalue of the Hessian, by 20 steps of Lanczos."""
    return -float(
        jax.jit(lambda x: top_eigenpairs(lambda v: -hessian_product(f, x, v), x, 1, 20, key)[0][0])(
            x
        )
    )


def from_zero(cfg: Config, key) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Descent of the network from weights zero, with and without noise; its lowest curvature there, of two and of three matrices."""
    metrics, curves, (x, label, _, _) = {}, {}, datasets.digit_vectors()
    loss, accuracy, n = saddles.tanh_network(x, label, 2, cfg.hidden)
    noise = Noise(radius=1e-2, small=1e-3, wait=100, enough=1e-6)
    for name, kind in (("descent", None), ("noise", noise)):
        found = jax.jit(lambda x, kind=kind: descent(loss, x, 0.3, cfg.steps, kind, key))(
            jnp.zeros(n)
        )
        curves[name] = np.asarray(found.values)
        metrics |= {
            f"zero_loss_{name}": float(found.value),
            f"zero_accuracy_{name}": float(accuracy(found.x)),
        }
    for depth in (2, 3):
        f, _, n = saddles.tanh_network(x, label, depth, cfg.hidden)
        metrics[f"zero_curvature_depth_{depth}"] = lowest_curvature(f, jnp.zeros(n), key)
    return metrics, curves


def study(cfg: Config, key) -> Result:
    """Random fields, escapes, factors of a matrix, and the network from zero."""
    key_fields, key_escapes, key_factors, key_zero = jax.random.split(key, 4)
    metrics, seen = landscape(cfg, key_fields)
    with jax.enable_x64(True):
        left, steps = escapes(cfg, key_escapes)
        factored = factors(key_factors)
    zero, curves = from_zero(cfg, key_zero)
    return Result(
        metrics | left | factored | zero, {"saddle_points.png": draw(seen, steps, curves)}
    )


def draw(seen, steps, curves):
    """Shares of minima, values by index, steps out of saddles, and the loss from zero."""
    from matplotlib.figure import Figure

    least, found, positive, index, value, share, energy = seen
    figure = Figure(figsize=(20, 4), layout="constrained")
    falls, levels, single, chain, zero = figure.subplots(1, 5)
    d = np.arange(1, len(least) + 1)
    falls.semilogy(d, least, "C0", label="random field, Kac and Rice")
    falls.errorbar(
        [*found],
        *np.array([*found.values()]).T,
        fmt="o",
        ms=5,
        capsize=3,
        color="C1",
        label="random field, found",
    )
    falls.semilogy(d, 2.0**-d, "--", color="0.5", label="independent signs")
    falls.semilogy(
        [*positive], [p or np.nan for p in positive.values()], "s-", ms=4, color="C2", label="GOE"
    )
    falls.set(title="share of minima", xlabel="dimension")
    rng = np.random.default_rng(0)
    levels.plot(
        value,
        index + rng.uniform(-0.15, 0.15, len(index)),
        ".",
        ms=3,
        alpha=0.5,
        color="C1",
        label="found",
    )
    levels.plot(energy, np.arange(len(energy)), "o-", ms=5, color="C0", label="mean, Kac and Rice")
    levels.set(
        title=f"critical points in {len(share) - 1} dimensions",
        xlabel="value of the field",
        ylabel="index",
    )
    single.loglog(
        1 / np.array([*steps["curvature"]]),
        [*steps["curvature"].values()],
        "o-",
        label="over 1 / curvature",
    )
    single.loglog(
        [*steps["dimension"]], [*steps["dimension"].values()], "s-", label="over dimension"
    )
    single.set(title="steps out of one saddle, with noise", xlabel="1 / curvature, dimension")
    for name, row in steps["chain"].items():
        chain.semilogy([*row], [*row.values()], "o-", label=name)
    chain.set(title="steps through a chain of saddles", xlabel="saddles")
    for name, values in curves.items():
        zero.plot(values, label={"descent": "descent", "noise": "with noise"}[name])
    zero.set(title="digits, weights zero at first: loss", xlabel="step", ylim=(0, None))
    for ax in figure.axes:
        ax.legend(frameon=False, fontsize=8)
        ax.grid(alpha=0.3)
    return figure
