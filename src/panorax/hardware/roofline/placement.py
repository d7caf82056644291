"""Operations of `pallas_kernels` under the roofline of this machine."""

import functools

import jax
import numpy as np

import pallas_kernels
from panorax.core import figures
from panorax.core.state import Result
from panorax.core.study import family
from panorax.maths.timing import attainable, copy_rate, product_rate, seconds


def placement(key, size: str, matrix: int, nbytes: int) -> Result:
    """Every operation per byte and per second, forward, and its share of the attainable rate.

    size: of the cases of `pallas_kernels`, "small", "cpu" or "gpu". The first case of an operation
    is measured with the implementation that this machine prefers: on a CPU, that of XLA. The
    intensity counts what the operation must do at least (`Cost`), so that a wasteful program lies
    below the roof. The ceiling is a product in float32; a case in bfloat16 can exceed it.
    """
    flops = product_rate(matrix, np.float32)
    bandwidth = copy_rate(nbytes, 4 * nbytes)
    intensity, rate = {}, {}
    for name, operation in pallas_kernels.operations().items():
        case = next(case for case in operation.cases if case.size == size)
        arguments = jax.block_until_ready(jax.jit(case.arguments)(key))
        cost = operation.cost(*arguments, **case.options)
        program = jax.jit(functools.partial(operation.run, **case.options))
        intensity[name] = cost.flops / cost.nbytes
        rate[name] = cost.flops / seconds(lambda: program(*arguments))
    share = {
        name: rate[name] / float(attainable(intensity[name], flops, bandwidth)) for name in rate
    }
    metrics = family("intensity_{}", intensity) | family("share_{}", share)
    metrics |= {"ridge": flops / bandwidth, "largest_share": max(share.values())}
    return Result(metrics, {"roofline.png": draw_roofline(intensity, rate, flops, bandwidth)})


def draw_roofline(intensity, rate, flops, bandwidth):
    figure, (ax,) = figures.panels(1, 1, 7.0, 5.0)
    least, most = min(intensity.values()) / 2, max(*intensity.values(), flops / bandwidth) * 2
    x = np.geomspace(least, most, 200)
    ax.loglog(x, attainable(x, flops, bandwidth) / 1e9, color="black", label="roofline")
    for i, name in enumerate(intensity):
        marker = "osD^v<>Ph*Xpd"[i % 13]
        ax.loglog(intensity[name], rate[name] / 1e9, marker, label=name.replace("_", " "))
    ax.set(
        title="Operations under the roofline of this machine",
        xlabel="operations per byte",
        ylabel="GFLOP/s",
    )
    return figures.legends(figure, fontsize=7, ncols=2)
