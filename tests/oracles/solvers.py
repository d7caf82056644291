"""scipy's Dormand-Prince solution of the Lotka-Volterra equations, at a tolerance that leaves no visible error."""

import numpy as np
from scipy.integrate import solve_ivp

from case import Arrays, named, settings

PACKAGES = ("scipy",)


def lotka_volterra(t: float, y: np.ndarray) -> np.ndarray:
    """Prey and predators, with a prey birth rate that follows the seasons."""
    prey, predators = y
    return np.array([(1.5 + 0.3 * np.sin(t)) * prey - prey * predators, prey * predators - 3 * predators])


def generate() -> Arrays:
    starts = np.array([[2.0, 1.0], [4.0, 1.5], [1.0, 3.0]])
    ends = [solve_ivp(lotka_volterra, (0.5, 4.0), y, "RK45", rtol=1e-11, atol=1e-12).y[:, -1] for y in starts]
    return named("dopri5", {**settings(t0=0.5, t1=4.0), "start": starts, "out": np.array(ends)})
