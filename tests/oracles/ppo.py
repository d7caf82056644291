"""The loss of proximal policy optimisation and its gradients in torch: networks of torch.nn, policies of torch.distributions."""

import numpy as np
import torch
from case import Arrays, named, normal, settings
from torch import nn
from torch.distributions import Categorical, Independent, Normal
from torch.func import functional_call

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
    """Clipped surrogate of standardised advantages, plus value error (clipped where `value_clip` is given), less entropy."""
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


def loss_case(
    gaussian: bool, weights: dict[str, float | None], rng: np.random.RandomState
) -> Arrays:
    actor, critic = network(2 if gaussian else 3), network(1)
    params = {
        f"actor.{name}": normal(rng, *p.shape, std=0.6) for name, p in actor.named_parameters()
    }
    params |= {
        f"critic.{name}": normal(rng, *p.shape, std=0.6) for name, p in critic.named_parameters()
    }
    params |= {"log_std": normal(rng, 2, std=0.3)} if gaussian else {}
    action = normal(rng, B, 2) if gaussian else rng.randint(0, 3, B)
    leaves = {
        name: torch.tensor(p, dtype=torch.float64, requires_grad=True) for name, p in params.items()
    }
    batch = {name: normal(rng, B) for name in ("value", "advantage")} | {
        "view": normal(rng, B, INPUTS)
    }
    view = torch.tensor(batch["view"]).double()
    part = lambda name: {
        k.removeprefix(name + "."): x for k, x in leaves.items() if k.startswith(name)
    }
    head, value = (
        functional_call(actor, part("actor"), view),
        functional_call(critic, part("critic"), view)[:, 0],
    )
    policy = (
        Independent(Normal(head, leaves["log_std"].exp()), 1)
        if gaussian
        else Categorical(logits=head)
    )
    log_prob = policy.log_prob(torch.tensor(action))
    # the old policy: near enough that some ratios are clipped and some not
    batch["log_prob"] = (log_prob.detach().numpy() + normal(rng, B, std=0.25)).astype(np.float32)
    loss = ppo_loss(
        log_prob,
        value,
        policy.entropy(),
        {k: torch.tensor(x).double() for k, x in batch.items()},
        **weights,
    )
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
