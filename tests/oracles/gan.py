"""Losses and gradients of both players of a small conditional GAN in torch, with penalties.

The losses are binary cross entropies of scores (non-saturating), or of the difference between the
scores of a real and a generated image (relativistic). A second backward pass gives the penalties.
"""

import numpy as np
import torch
from case import Arrays, named, normal, settings, vjp
from torch.nn.functional import binary_cross_entropy_with_logits, leaky_relu

GROUP = "torch"
PACKAGES = ("torch",)
BATCH, SIZE, LATENT, CLASSES, WIDTH, EMBED = 5, 2, 3, 3, 4, 2
R1, R2 = 0.7, 0.3


def weights(rng: np.random.RandomState, inputs: int, outputs: int) -> Arrays:
    """A class embedding, two hidden layers and an output layer; w is (inputs, outputs)."""
    sizes = (inputs + EMBED, WIDTH, WIDTH, outputs)
    arrays = {"label": normal(rng, CLASSES, EMBED, std=0.5)}
    for i, (rows, columns) in enumerate(zip(sizes, sizes[1:])):
        arrays |= {
            f"w{i}": normal(rng, rows, columns, std=0.5),
            f"b{i}": normal(rng, columns, std=0.5),
        }
    return arrays


def network(p: dict[str, torch.Tensor], x: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    h = torch.cat([x.flatten(1), p["label"][label]], 1)
    for i in range(2):
        h = leaky_relu(h @ p[f"w{i}"] + p[f"b{i}"], 0.2)
    return h @ p["w2"] + p["b2"]


def entropy(logits: torch.Tensor, real: bool) -> torch.Tensor:
    target = torch.ones_like(logits) if real else torch.zeros_like(logits)
    return binary_cross_entropy_with_logits(logits, target)


def squared_slope(scores: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Mean over images of the squared gradient of their score."""
    (slope,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
    return slope.square().flatten(1).sum(1).mean()


def losses(game: str, real: torch.Tensor, fake: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Losses of the discriminator and of the generator."""
    if game == "relativistic":
        return entropy(real - fake, True), entropy(fake - real, True)
    return entropy(real, True) + entropy(fake, False), entropy(fake, True)


def generate() -> Arrays:
    rng = np.random.RandomState(17)
    discriminator = weights(rng, SIZE * SIZE, 1)
    generator = weights(rng, LATENT, SIZE * SIZE)
    data = {
        "x": normal(rng, BATCH, SIZE, SIZE, 1, std=0.5),
        "z": normal(rng, BATCH, LATENT),
        "label": rng.randint(0, CLASSES, BATCH),
    }
    double = lambda arrays: {
        name: torch.tensor(x, dtype=torch.float64) for name, x in arrays.items()
    }
    fixed = double(data) | {"label": torch.tensor(data["label"])}

    def played(game, d, g):
        """Losses of both players; the discriminator's loss includes the penalties."""
        real = fixed["x"].clone().requires_grad_()
        fake = torch.tanh(network(g, fixed["z"], fixed["label"])).reshape(real.shape)
        fake = fake if fake.requires_grad else fake.requires_grad_()
        scores = [network(d, x, fixed["label"])[:, 0] for x in (real, fake)]
        loss_d, loss_g = losses(game, *scores)
        r1, r2 = (squared_slope(s, x) for s, x in zip(scores, (real, fake)))
        return loss_d + R1 / 2 * r1 + R2 / 2 * r2, loss_g

    arrays = named("batch", data | settings(r1=R1, r2=R2))
    for game in ("non_saturating", "relativistic"):
        case_d = vjp(lambda **d: played(game, d, double(generator))[0], discriminator, rng)
        case_g = vjp(lambda **g: played(game, double(discriminator), g)[1], generator, rng)
        arrays |= named(f"{game}_discriminator", case_d) | named(f"{game}_generator", case_g)
    return arrays
