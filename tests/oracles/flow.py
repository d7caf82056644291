"""Flow-matching schedulers of diffusers, Euler and Heun, on a velocity in closed form.

Data are N(MEAN, STD^2), noise is N(0, 1). At noise level s, a sample is x = (1 - s) data + s noise
and the model returns E[noise - data | x].
"""

import numpy as np
import torch
from case import Arrays, named, normal, settings
from diffusers import FlowMatchEulerDiscreteScheduler, FlowMatchHeunDiscreteScheduler

GROUP = "torch"
PACKAGES = ("torch", "diffusers")
MEAN, STD, STEPS = 1.5, 0.4, 6


def velocity(x: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
    """E[noise - data | x] = -MEAN + covariance / variance * (x - E[x]) of joint Gaussians."""
    variance = (1 - level) ** 2 * STD**2 + level**2
    return -MEAN + (level - (1 - level) * STD**2) / variance * (x - (1 - level) * MEAN)


def trajectory(scheduler, start: np.ndarray) -> np.ndarray:
    """The start and the sample after every step of the scheduler, at the levels it chooses."""
    x, samples = torch.tensor(start), [start]
    for time in scheduler.timesteps:
        level = time / scheduler.config.num_train_timesteps
        x = scheduler.step(velocity(x, level), time, x).prev_sample
        samples.append(x.numpy())
    return np.stack(samples)


def generate() -> Arrays:
    rng = np.random.RandomState(11)
    start = normal(rng, 5, 2)
    target = settings(mean=MEAN, std=STD)
    arrays = {}
    for shift in (1.0, 3.0):
        euler = FlowMatchEulerDiscreteScheduler(shift=shift)
        euler.set_timesteps(STEPS)
        path = {"level": euler.sigmas.numpy(), "out": trajectory(euler, start)}
        arrays |= named(f"euler_shift_{shift:.0f}", {**target, **path})
    heun = FlowMatchHeunDiscreteScheduler()
    heun.set_timesteps(STEPS)
    # a step of Heun's method is two calls; the last step, an Euler step to level 0, is left out
    path = {"level": heun.sigmas[:-1:2].numpy(), "out": trajectory(heun, start)[:-1:2]}
    arrays |= named("heun", {**target, **path})

    noise, data = normal(rng, 4, 3, 2), normal(rng, 4, 3, 2)
    euler = FlowMatchEulerDiscreteScheduler()
    time = euler.timesteps[[0, 300, 700, 999]]
    mixed = euler.scale_noise(torch.tensor(data), time, torch.tensor(noise))
    level = time.numpy() / euler.config.num_train_timesteps
    return arrays | named(
        "interpolation", {"noise": noise, "data": data, "level": level, "out": mixed.numpy()}
    )
