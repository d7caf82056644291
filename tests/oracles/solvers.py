"""scipy's Dormand-Prince method on the Lotka-Volterra equations: one step, and a solution without visible error."""

import numpy as np
from case import Arrays, named, settings
from scipy.integrate import RK45, solve_ivp

PACKAGES = ("scipy",)
START, T0, H, T1 = [2.0, 1.0], 0.5, 0.3, 4.0


def lotka_volterra(t: float, y: np.ndarray) -> np.ndarray:
    """Prey and predators, with a prey birth rate that follows the seasons."""
    prey, predators = y
    return np.array(
        [(1.5 + 0.3 * np.sin(t)) * prey - prey * predators, prey * predators - 3 * predators]
    )


def generate() -> Arrays:
    one = RK45(lotka_volterra, T0, np.array(START), T1, first_step=H, rtol=1.0, atol=1e3)
    one.step()
    end = solve_ivp(lotka_volterra, (T0, T1), START, "RK45", rtol=1e-11, atol=1e-12).y[:, -1]
    return {
        **named("step", {**settings(t0=T0, t1=one.t), "start": np.array(START), "out": one.y}),
        **named("solution", {**settings(t0=T0, t1=T1), "start": np.array(START), "out": end}),
    }
