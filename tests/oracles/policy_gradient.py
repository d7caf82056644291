"""Losses of A2C, REINFORCE and TRPO in torch, with networks and distributions of torch.

TRPO's product with the Fisher matrix differentiates torch's KL divergence twice. Returns to go and
advantages of REINFORCE are sums by their definition.
"""

import numpy as np
import torch
from case import Arrays, named, normal, settings
from ppo import INPUTS, B, as_leaves, drawn, respond
from torch.distributions import kl_divergence

GROUP = "torch"
PACKAGES = ("torch",)
DISCOUNT, LAMBDA, N, T = 0.9, 0.95, 3, 5
ENDS = np.array([2, 4, 3])  # last step of the first episode of each environment


def under(prefix: str, arrays) -> Arrays:
    """Parameters, or gradients, under a common name."""
    numpy = lambda x: x.detach().numpy() if isinstance(x, torch.Tensor) else x
    return {f"{prefix}/{name}": numpy(x) for name, x in arrays.items()}


def gradients(y: torch.Tensor, leaves, **options):
    """d y / d leaf for every leaf, zero if y does not depend on it."""
    found = torch.autograd.grad(
        y, [*leaves.values()], allow_unused=True, retain_graph=True, **options
    )
    return {
        name: torch.zeros_like(leaf) if g is None else g
        for (name, leaf), g in zip(leaves.items(), found)
    }


def actions(gaussian: bool, rng: np.random.RandomState, *shape: int) -> np.ndarray:
    return normal(rng, *shape, 2) if gaussian else rng.randint(0, 3, shape)


def a2c_case(gaussian: bool, rng: np.random.RandomState) -> Arrays:
    weights = {"value_weight": 0.7, "entropy_weight": 0.02}
    params, action = drawn(gaussian, rng), actions(gaussian, rng, B)
    batch = {name: normal(rng, B) for name in ("value", "advantage")}
    batch["view"], leaves = normal(rng, B, INPUTS), as_leaves(params)
    policy, value = respond(leaves, batch["view"])
    advantage, old = (torch.tensor(batch[name]).double() for name in ("advantage", "value"))
    loss = -(policy.log_prob(torch.tensor(action)) * advantage).mean()
    loss = loss + weights["value_weight"] * ((value - (old + advantage)) ** 2).mean()
    loss = loss - weights["entropy_weight"] * policy.entropy().mean()
    rates = settings(**weights)
    grads = under("grad", gradients(loss, leaves))
    return rates | under("param", params) | grads | batch | {"action": action, "loss": loss.item()}


def trpo_case(gaussian: bool, rng: np.random.RandomState) -> Arrays:
    params, action = drawn(gaussian, rng), actions(gaussian, rng, B)
    batch = {"advantage": normal(rng, B), "view": normal(rng, B, INPUTS), "action": action}
    leaves = as_leaves(params)
    policy, _ = respond(leaves, batch["view"])
    old = {name: p + normal(rng, *p.shape, std=0.1) for name, p in params.items()}
    before, _ = respond(as_leaves(old), batch["view"])
    batch["log_prob"] = before.log_prob(torch.tensor(action)).detach().numpy().astype(np.float32)
    advantage = torch.tensor(batch["advantage"]).double()
    advantage = (advantage - advantage.mean()) / (advantage.std(correction=0) + 1e-8)
    ratio = (policy.log_prob(torch.tensor(action)) - torch.tensor(batch["log_prob"])).exp()
    loss = -(ratio * advantage).mean()

    here, _ = respond({name: x.detach() for name, x in leaves.items()}, batch["view"])
    slope = gradients(kl_divergence(here, policy).mean(), leaves, create_graph=True)
    v = {name: normal(rng, *p.shape) for name, p in params.items()}
    along = sum((g * torch.tensor(v[name])).sum() for name, g in slope.items())
    return {
        **under("param", params),
        **under("old", old),
        **under("grad", gradients(loss, leaves)),
        **under("v", v),
        **under("product", gradients(along, leaves)),
        **batch,
        "loss": loss.item(),
        "kl": kl_divergence(before, policy).mean().item(),
    }


def weighed(reward: np.ndarray, value: np.ndarray) -> Arrays:
    """The weights of grad log pi by baseline, each (N, T), zero after the first episode."""
    shape = (N, T)
    to_go, bootstrap, inside = np.zeros(shape), np.zeros(shape), np.zeros(shape, bool)
    for n, end in enumerate(ENDS):
        inside[n, : end + 1] = True
        for t in range(end + 1):
            for k in range(t, end + 1):
                future = value[n, k + 1] if k < end else 0.0
                delta = reward[n, k] + DISCOUNT * future - value[n, k]
                to_go[n, t] += DISCOUNT ** (k - t) * reward[n, k]
                bootstrap[n, t] += (DISCOUNT * LAMBDA) ** (k - t) * delta
    others = [
        np.concatenate([to_go[m, : ENDS[m] + 1] for m in range(N) if m != n]) for n in range(N)
    ]
    mean = np.array([x.mean() for x in others])[:, None]
    weights = {
        "none": to_go,
        "mean": to_go - mean,
        "value": to_go - value,
        "bootstrap": bootstrap,
    }
    return {name: np.where(inside, x, 0) for name, x in weights.items()}


def reinforce_case(gaussian: bool, rng: np.random.RandomState) -> Arrays:
    params, action = drawn(gaussian, rng), actions(gaussian, rng, N, T)
    view, reward = normal(rng, N, T, INPUTS), normal(rng, N, T)
    leaves = as_leaves(params)
    policy, value = respond(leaves, view)
    log_prob, weights = (
        policy.log_prob(torch.tensor(action)),
        weighed(reward, value.detach().numpy()),
    )
    arrays = {}
    for name, weight in weights.items():
        loss = -(torch.tensor(weight) * log_prob).sum() / N
        arrays |= {f"loss/{name}": loss.item()} | under(f"grad/{name}", gradients(loss, leaves))
    inside = torch.arange(T)[None] <= torch.tensor(ENDS)[:, None]
    error = (value - torch.tensor(weights["none"])) ** 2
    arrays["value_loss"] = error[inside].mean().item()
    rates = settings(discount=DISCOUNT)
    inputs = {"view": view, "reward": reward, "action": action, "end": ENDS}
    return rates | under("param", params) | inputs | arrays


def generate() -> Arrays:
    rng = np.random.RandomState(17)
    cases = {"a2c": a2c_case, "trpo": trpo_case, "reinforce": reinforce_case}
    arrays = {}
    for name, case in cases.items():
        for head, gaussian in (("discrete", False), ("gaussian", True)):
            arrays |= named(f"{name}_{head}", case(gaussian, rng))
    return {name: np.asarray(x) for name, x in arrays.items()}
