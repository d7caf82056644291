"""Log-probabilities and entropies of action distributions, by torch.distributions."""

import numpy as np
import torch
from case import Arrays, named, normal, vjp
from torch.distributions import Categorical, Independent, Normal

GROUP = "torch"
PACKAGES = ("torch",)


def measured(distribution, action: np.ndarray) -> torch.Tensor:
    """Log-probability and entropy, stacked along a first axis."""
    return torch.stack([distribution.log_prob(torch.tensor(action)), distribution.entropy()])


def masked(logits: torch.Tensor, legal: np.ndarray, action: np.ndarray) -> torch.Tensor:
    """`measured` of each row's distribution over its legal actions only."""
    rows = [
        measured(Categorical(logits=row[torch.tensor(ok)]), ok[:a].sum())
        for row, ok, a in zip(logits, legal, action)
    ]
    return torch.stack(rows, 1)


def generate() -> Arrays:
    rng = np.random.RandomState(8)
    logits, first, second = normal(rng, 6, 5, std=2.0), normal(rng, 6, 3), normal(rng, 6, 4)
    choice, pair = rng.randint(0, 5, 6), np.stack([rng.randint(0, 3, 6), rng.randint(0, 4, 6)], 1)
    gauss = {"mean": normal(rng, 6, 3), "log_std": normal(rng, 6, 3, mean=-0.5, std=0.5)}
    move = normal(rng, 6, 3)
    legal = rng.uniform(size=(6, 5)) < 0.6
    legal[np.arange(6), choice] = True

    def multi(first, second):
        one = measured(Categorical(logits=first), pair[:, 0])
        return one + measured(Categorical(logits=second), pair[:, 1])

    def gaussian(mean, log_std):
        return measured(Independent(Normal(mean, log_std.exp()), 1), move.astype(np.float64))

    def categorical(logits):
        return measured(Categorical(logits=logits), choice)

    def among_legal(logits):
        return masked(logits, legal, choice)

    one, two = {"logits": logits}, {"first": first, "second": second}
    cases = {
        "categorical": {"action": choice, **vjp(categorical, one, rng)},
        "masked": {"action": choice, "legal": legal, **vjp(among_legal, one, rng)},
        "multi_categorical": {"action": pair, **vjp(multi, two, rng)},
        "diagonal_gaussian": {"action": move, **vjp(gaussian, gauss, rng)},
    }
    return {name: x for case, arrays in cases.items() for name, x in named(case, arrays).items()}
