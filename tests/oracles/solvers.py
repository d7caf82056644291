"""Dormand-Prince of scipy on Lotka-Volterra equations: one step, and an accurate solution."""

import numpy as np
from case import Arrays, named, settings
from scipy.integrate import RK45, solve_ivp

GROUP = "theory"
PACKAGES = ("scipy",)
START, T0, H, T1 = [2.0, 1.0], 0.5, 0.3, 4.0


def lotka_volterra(t: float, y: np.ndarray) -> np.ndarray:
    """Rates of change of prey and predators; the birth rate of prey is seasonal."""
    prey, predators = y
    births = (1.5 + 0.3 * np.sin(t)) * prey
    return np.array([births - prey * predators, prey * predators - 3 * predators])


def generate() -> Arrays:
    one = RK45(lotka_volterra, T0, np.array(START), T1, first_step=H, rtol=1.0, atol=1e3)
    one.step()
    end = solve_ivp(lotka_volterra, (T0, T1), START, "RK45", rtol=1e-11, atol=1e-12).y[:, -1]
    return {
        **named("step", {**settings(t0=T0, t1=one.t), "start": np.array(START), "out": one.y}),
        **named("solution", {**settings(t0=T0, t1=T1), "start": np.array(START), "out": end}),
    }
