"""Bits per byte of students that are trained alone and with a teacher, over seeds."""

import numpy as np

from panorax.core import figures
from panorax.core.state import Result
from panorax.core.study import family


def compared(bits: dict[str, np.ndarray], teacher_bits: float) -> Result:
    """Mean bits per byte over seeds, their difference and its standard error, and a figure."""
    gain = bits["alone"] - bits["distilled"]
    metrics = {"teacher_bits_per_byte": teacher_bits}
    metrics |= family("{}_bits_per_byte", {name: x.mean() for name, x in bits.items()})
    metrics |= {"mean_gain": gain.mean(), "smallest_gain": gain.min()}
    metrics["gain_in_errors"] = gain.mean() / max(gain.std(ddof=1) / len(gain) ** 0.5, 1e-6)
    metrics = {name: float(x) for name, x in metrics.items()}
    return Result(metrics, {"students.png": draw_students(bits, teacher_bits)})


def draw_students(bits: dict[str, np.ndarray], teacher_bits: float):
    """Bits per byte of each seed, alone and distilled, joined by a line."""
    figure, (ax,) = figures.panels()
    for seed, pair in enumerate(zip(bits["alone"], bits["distilled"])):
        ax.plot([0, 1], pair, "o-", color=figures.COLORS[seed % 8], lw=1, ms=4)
    ax.axhline(teacher_bits, color="grey", ls=":", label="teacher")
    ax.set_xticks([0, 1], ["alone", "with the teacher"])
    ax.set(title="students of the same seed and batches", ylabel="held-out bits per byte")
    ax.set_xlim(-0.3, 1.3)
    return figures.legends(figure)
