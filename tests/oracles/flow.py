"""diffusers' flow-matching schedulers, Euler and Heun, on a velocity known in closed form.

Data is N(MEAN, STD^2), noise N(0, 1). At noise level s a sample is x = (1 - s) data + s noise; the model is E[noise - data | x].
"""

import numpy as np
import torch
from case import Arrays, named, normal, settings
from diffusers import FlowMatchEulerDiscreteScheduler, FlowMatchHeunDiscreteScheduler

PACKAGES = ("torch", "diffusers")
MEAN, STD, STEPS = 1.5, 0.4, 6


def velocity(x: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
    """E[noise - data | x] of jointly Gaussian variables: the mean, plus covariance / variance times x less its own mean."""
    variance = (1 - level) ** 2 * STD**2 + level**2
    return -MEAN + (level - (1 - level) * STD**2) / variance * (x - (1 - level) * MEAN)


def trajectory(scheduler, start: np.ndarray) -> np.ndarray:
    """The samples before the first and after every call of the scheduler, at the levels it asks for."""
    x, found = torch.tensor(start), [start]
    for time in scheduler.timesteps:
        x = scheduler.step(
            velocity(x, time / scheduler.config.num_train_timesteps), time, x
        ).prev_sample
        found.append(x.numpy())
    return np.stack(found)


def generate() -> Arrays:
    rng = np.random.RandomState(11)
    start = normal(rng, 5, 2)
    target = settings(mean=MEAN, std=STD)
    arrays = {}
    for shift in (1.0, 3.0):
        euler = FlowMatchEulerDiscreteScheduler(shift=shift)
        euler.set_timesteps(STEPS)
        found = {"level": euler.sigmas.numpy(), "out": trajectory(euler, start)}
        arrays |= named(f"euler_shift_{shift:.0f}", {**target, **found})
    heun = FlowMatchHeunDiscreteScheduler()
    heun.set_timesteps(STEPS)
    # two calls make a step of Heun's method; the step to level 0, which the scheduler takes with Euler's, is left out
    found = {"level": heun.sigmas[:-1:2].numpy(), "out": trajectory(heun, start)[:-1:2]}
    arrays |= named("heun", {**target, **found})

    noise, data = normal(rng, 4, 3, 2), normal(rng, 4, 3, 2)
    euler = FlowMatchEulerDiscreteScheduler()
    time = euler.timesteps[[0, 300, 700, 999]]
    mixed = euler.scale_noise(torch.tensor(data), time, torch.tensor(noise))
    level = time.numpy() / euler.config.num_train_timesteps
    return arrays | named(
        "interpolation", {"noise": noise, "data": data, "level": level, "out": mixed.numpy()}
    )
