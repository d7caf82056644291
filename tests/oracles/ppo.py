"""The PPO loss and its gradients in torch, with torch.nn networks and torch.distributions."""

import numpy as np
import torch
from case import Arrays, named, normal, settings
from torch import nn
from torch.distributions import Categorical, Independent, Normal
from torch.func import functional_call

GROUP = "torch"
PACKAGES = ("torch",)
B, INPUTS, WIDTH = 24, 4, 8


def network(outputs: int) -> nn.Module:
    layers = (
        nn.Linear(INPUTS, WIDTH),
        nn.Tanh(),
        nn.Linear(WIDTH, WIDTH),
        nn.Tanh(),
        nn.Linear(WIDTH, outputs),
    )
    return nn.Sequential(*layers).double()


def ppo_loss(log_prob, value, entropy, batch, clip, value_clip, value_weight, entropy_weight):
    """Clipped surrogate loss, plus the value error, minus the entropy bonus.

    Advantages are standardised. The value error is clipped unless `value_clip` is None.
    """
    advantage = batch["advantage"]
    advantage = (advantage - advantage.mean()) / (advantage.std(correction=0) + 1e-8)
    ratio = (log_prob - batch["log_prob"]).exp()
    surrogate = torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)
    target = batch["value"] + batch["advantage"]
    error = (value - target) ** 2
    if value_clip is not None:
        near = batch["value"] + (value - batch["value"]).clamp(-value_clip, value_clip)
        error = torch.maximum(error, (near - target) ** 2)
    return -surrogate.mean() + value_weight * error.mean() - entropy_weight * entropy.mean()


def drawn(gaussian: bool, rng: np.random.RandomState) -> Arrays:
    """Parameters of an actor with three actions, or two Gaussian dimensions, and of a critic."""
    params = {}
    for net, module in (("actor", network(2 if gaussian else 3)), ("critic", network(1))):
        for name, p in module.named_parameters():
            params[f"{net}.{name}"] = normal(rng, *p.shape, std=0.6)
    return params | ({"log_std": normal(rng, 2, std=0.3)} if gaussian else {})


def as_leaves(params: Arrays) -> dict[str, torch.Tensor]:
    """The parameters in float64, with gradients."""
    return {
        name: torch.tensor(p, dtype=torch.float64, requires_grad=True) for name, p in params.items()
    }


def respond(leaves: dict[str, torch.Tensor], view: np.ndarray):
    """The policy and the value at every view (..., INPUTS)."""
    view = torch.tensor(view).double()
    part = lambda name: {
        k.removeprefix(name + "."): x for k, x in leaves.items() if k.startswith(name)
    }
    gaussian = "log_std" in leaves
    head = functional_call(network(2 if gaussian else 3), part("actor"), view)
    value = functional_call(network(1), part("critic"), view)[..., 0]
    if gaussian:
        return Independent(Normal(head, leaves["log_std"].exp()), 1), value
    return Categorical(logits=head), value


def loss_case(
    gaussian: bool, weights: dict[str, float | None], rng: np.random.RandomState
) -> Arrays:
    params = drawn(gaussian, rng)
    action = normal(rng, B, 2) if gaussian else rng.randint(0, 3, B)
    leaves = as_leaves(params)
    batch = {name: normal(rng, B) for name in ("value", "advantage")}
    batch["view"] = normal(rng, B, INPUTS)
    policy, value = respond(leaves, batch["view"])
    log_prob = policy.log_prob(torch.tensor(action))
    # the old policy is close enough that only some ratios are clipped
    batch["log_prob"] = (log_prob.detach().numpy() + normal(rng, B, std=0.25)).astype(np.float32)
    double = {name: torch.tensor(x).double() for name, x in batch.items()}
    loss = ppo_loss(log_prob, value, policy.entropy(), double, **weights)
    loss.backward()
    return {
        **settings(**weights),
        **{f"param/{name}": p for name, p in params.items()},
        **{f"grad/{name}": leaf.grad.numpy() for name, leaf in leaves.items()},
        **batch,
        "action": action,
        "loss": loss.detach().numpy(),
    }


def generate() -> Arrays:
    rng = np.random.RandomState(13)
    plain = {"clip": 0.2, "value_clip": None, "value_weight": 0.5, "entropy_weight": 0.01}
    clipped = {"clip": 0.1, "value_clip": 0.3, "value_weight": 0.7, "entropy_weight": 0.02}
    return {
        **named("discrete", loss_case(False, plain, rng)),
        **named("gaussian", loss_case(True, clipped, rng)),
    }
