"""The losses of SAC and TD3 and their gradients in torch, with torch.distributions.

Standard normal noise of the sampled actions is part of a case.
"""

import numpy as np
import torch
from case import Arrays, named, normal, settings
from torch import nn
from torch.distributions import Independent, Normal, TransformedDistribution
from torch.distributions.transforms import TanhTransform
from torch.func import functional_call

GROUP = "torch"
PACKAGES = ("torch",)
B, INPUTS, K, WIDTH = 24, 3, 2, 8
NETWORKS = {
    "actor": (INPUTS, 2 * K),
    "td3_actor": (INPUTS, K),
    "td3_actor_target": (INPUTS, K),
    "q1": (INPUTS + K, 1),
    "q2": (INPUTS + K, 1),
    "q1_target": (INPUTS + K, 1),
    "q2_target": (INPUTS + K, 1),
}


def network(inputs: int, outputs: int) -> nn.Module:
    layers = (nn.Linear(inputs, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU())
    return nn.Sequential(*layers, nn.Linear(WIDTH, outputs)).double()


class Case:
    """Networks with leaves for their parameters, a batch of transitions, and noise."""

    def __init__(self, rng: np.random.RandomState):
        self.modules = {name: network(*sizes) for name, sizes in NETWORKS.items()}
        self.params = {
            f"{net}.{name}": normal(rng, *p.shape, std=0.6)
            for net, module in self.modules.items()
            for name, p in module.named_parameters()
        }
        self.leaves = {
            name: torch.tensor(p, dtype=torch.float64, requires_grad=True)
            for name, p in self.params.items()
        }
        self.log_temperature = torch.tensor(-0.7, dtype=torch.float64, requires_grad=True)
        self.arrays = {
            "view": normal(rng, B, INPUTS),
            "action": np.tanh(normal(rng, B, K)),
            "reward": normal(rng, B),
            "next_view": normal(rng, B, INPUTS),
            "terminated": rng.uniform(size=B) < 0.3,
            "noise": normal(rng, B, K),
        }
        self.x = {name: torch.tensor(x).double() for name, x in self.arrays.items()}

    def apply(self, net: str, x: torch.Tensor) -> torch.Tensor:
        of_net = {k.split(".", 1)[1]: p for k, p in self.leaves.items() if k.split(".")[0] == net}
        return functional_call(self.modules[net], of_net, x)

    def q(self, nets: tuple[str, str], view: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        x = torch.cat([view, action], 1)
        return torch.stack([self.apply(net, x)[:, 0] for net in nets])

    def sample(self, view: torch.Tensor):
        """Action and log-probability of the squashed Gaussian at the noise of the case."""
        mean, log_std = self.apply("actor", view).chunk(2, 1)
        std = log_std.clamp(-20, 2).exp()
        pi = TransformedDistribution(Normal(mean, std), TanhTransform(cache_size=1))
        action = pi.transforms[0](mean + std * self.x["noise"])
        return action, Independent(pi, 1).log_prob(action)

    def td_loss(self, next_value: torch.Tensor, discount: float) -> torch.Tensor:
        y = self.x["reward"] + discount * (1 - self.x["terminated"]) * next_value.detach()
        error = self.q(("q1", "q2"), self.x["view"], self.x["action"]) - y
        return 0.5 * (error**2).mean(1).sum()

    def result(self, loss: torch.Tensor, **numbers: float) -> Arrays:
        """Inputs, loss and gradients; parameters that the loss does not train have none."""
        leaves = self.leaves | {"log_temperature": self.log_temperature}
        gradients = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
        return {
            **settings(**numbers),
            **{f"param/{name}": p for name, p in self.params.items()},
            **{f"grad/{n}": g.numpy() for n, g in zip(leaves, gradients) if g is not None},
            **self.arrays,
            "loss": loss.detach().numpy(),
        }


def sac_critics(case: Case) -> Arrays:
    discount = 0.97
    action, log_prob = case.sample(case.x["next_view"])
    q = case.q(("q1_target", "q2_target"), case.x["next_view"], action).amin(0)
    loss = case.td_loss(q - case.log_temperature.exp() * log_prob, discount)
    return case.result(loss, discount=discount, log_temperature=case.log_temperature.item())


def sac_policy(case: Case) -> Arrays:
    """J_pi with the gradient of the actor, plus J_alpha with the gradient of log alpha."""
    target_entropy = -float(K)
    action, log_prob = case.sample(case.x["view"])
    q = case.q(("q1", "q2"), case.x["view"], action).amin(0)
    alpha = case.log_temperature.exp()
    actor_loss = (alpha.detach() * log_prob - q).mean()
    temperature_loss = -(alpha * (log_prob.detach() + target_entropy)).mean()
    numbers = {"target_entropy": target_entropy, "log_temperature": case.log_temperature.item()}
    return case.result(actor_loss + temperature_loss, **numbers)


def td3_critics(case: Case) -> Arrays:
    discount, smoothing, clip = 0.97, 0.4, 0.5
    target = case.apply("td3_actor_target", case.x["next_view"]).tanh()
    noise = (smoothing * case.x["noise"]).clamp(-clip, clip)
    action = (target + noise).clamp(-1, 1)
    q = case.q(("q1_target", "q2_target"), case.x["next_view"], action).amin(0)
    loss = case.td_loss(q, discount)
    return case.result(loss, discount=discount, smoothing=smoothing, smoothing_clip=clip)


def td3_actor(case: Case) -> Arrays:
    action = case.apply("td3_actor", case.x["view"]).tanh()
    q = case.q(("q1", "q2"), case.x["view"], action)
    return case.result(-q[0].mean())


def generate() -> Arrays:
    rng = np.random.RandomState(21)
    makers = {
        "sac_critics": sac_critics,
        "sac_policy": sac_policy,
        "td3_critics": td3_critics,
        "td3_actor": td3_actor,
    }
    return {
        name: x for case, make in makers.items() for name, x in named(case, make(Case(rng))).items()
    }
