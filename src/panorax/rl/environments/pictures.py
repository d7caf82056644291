"""Pictures of views: images by the colour of each channel, classic control by its geometry."""

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

SIZE = 240  # pixels of a side
PALETTE = np.array(
    [
        (76, 120, 168),
        (245, 133, 24),
        (228, 87, 86),
        (114, 183, 178),
        (84, 162, 75),
        (238, 202, 59),
        (178, 121, 162),
        (157, 117, 93),
        (186, 176, 172),
        (255, 157, 166),
    ],
    np.float32,
)
"""colour of each channel of an image"""


def picture_of(name: str, shape: tuple[int, ...]) -> Callable | None:
    """The function from a view of environment `name` to an RGB image (SIZE, SIZE, 3), uint8.

    None if the view is neither an image (Y, X, C) nor one of classic control.
    """
    if name in GEOMETRY:
        return lambda view: drawn(GEOMETRY[name](np.asarray(view, np.float64)))
    return colours if len(shape) == 3 and shape[-1] <= len(PALETTE) else None


def colours(view) -> np.ndarray:
    """Each pixel in the colour of its last channel that is on, black if none is."""
    view = np.asarray(view, np.float32)
    image = np.zeros((*view.shape[:2], 3), np.float32)
    for channel in range(view.shape[-1]):
        on = np.clip(view[..., channel : channel + 1], 0, 1)
        image = image * (1 - on) + on * PALETTE[channel]
    pixels = Image.fromarray(image.astype(np.uint8))
    return np.asarray(pixels.resize((SIZE, SIZE), Image.Resampling.NEAREST))


def drawn(lines: list[list[tuple[float, float]]]) -> np.ndarray:
    """Broken lines in the square [-1, 1]^2, y upwards, each in a colour of its own, on white."""
    image = Image.new("RGB", (SIZE, SIZE), "white")
    draw = ImageDraw.Draw(image)
    for line, colour in zip(lines, PALETTE.astype(int), strict=False):
        points = [((1 + x) / 2 * SIZE, (1 - y) / 2 * SIZE) for x, y in line]
        draw.line(points, fill=tuple(colour.tolist()), width=6, joint="curve")
    return np.asarray(image)


def cart_pole(view) -> list:
    """View: position, velocity, angle from upright, angular velocity."""
    x, angle = view[0] / 2.4 * 0.9, view[2]
    cart = [(x - 0.15, -0.4), (x + 0.15, -0.4)]
    return [[(-1, -0.45), (1, -0.45)], cart, [(x, -0.4), arm((x, -0.4), angle, 0.8)]]


def pendulum(view) -> list:
    """View: cosine and sine of the angle from upright, angular velocity."""
    return [[(0, 0), arm((0, 0), -math.atan2(view[1], view[0]), 0.8)]]


def acrobot(view) -> list:
    """View: cosine and sine of both joint angles, the first from hanging down, and velocities."""
    first = math.atan2(view[1], view[0])
    second = first + math.atan2(view[3], view[2])
    elbow = arm((0, 0), math.pi - first, 0.4)
    tip = arm(elbow, math.pi - second, 0.4)
    return [[(0, 0), elbow], [elbow, tip], [(-1, 0.4), (1, 0.4)]]


def mountain_car(view) -> list:
    """View: position in -1.2 .. 0.6, velocity."""
    height = lambda x: math.sin(3 * x) * 0.45
    place = lambda x: ((x + 0.3) / 0.9 * 0.95, height(x))
    hill = [place(x) for x in np.linspace(-1.2, 0.6, 60)]
    x, y = place(view[0])
    return [hill, [(x - 0.05, y + 0.06), (x + 0.05, y + 0.06)]]


def arm(base: tuple[float, float], angle: float, length: float) -> tuple[float, float]:
    """The other end of a rod, `angle` clockwise from upright."""
    return base[0] + length * math.sin(angle), base[1] + length * math.cos(angle)


GEOMETRY = {
    "CartPole-v1": cart_pole,
    "Pendulum-v1": pendulum,
    "Acrobot-v1": acrobot,
    "MountainCar-v0": mountain_car,
    "MountainCarContinuous-v0": mountain_car,
}
"""lines of the views of classic control, by environment"""
