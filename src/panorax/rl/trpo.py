"""Trust region policy optimisation: the largest improvement within a bound on the KL divergence.

One training step takes a rollout of T steps in N environments and solves

    maximise  L(p) = E[pi_p(a|s) / pi_old(a|s) A]    subject to  E[KL(pi_old(s) | pi_p(s))] <= delta

to first order in L and second order in the KL, whose Hessian at p_old is the Fisher matrix F:

    x = F^-1 grad L        conjugate gradients on products F v, without the matrix
    p = p_old + a x        a = sqrt(2 delta / x^T F x), on the border of the quadratic region

Then a shrinks until L rises and the true mean KL is at most delta; if no length does, the actor
stays. The critic is fitted to R = A + V_old by minibatches of Adam. The actor and the critic share
no parameters, so that fitting the critic leaves the policy where it is. Advantages are
standardised, which scales L and changes neither x's direction nor a.
Source: Schulman et al. 2015, arXiv:1502.05477, section 6 and appendix C; Schulman et al. 2016,
arXiv:1506.02438.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from panorax.core import figures
from panorax.core.layout import split_batch
from panorax.core.optim import AdamW, Optimizer, optimizer
from panorax.core.ranges import Count, NonNegative, Positive, PositiveShare, checked
from panorax.core.state import Result, State, System
from panorax.core.step import update
from panorax.maths.optimisation.curvature import gauss_newton_product
from panorax.maths.optimisation.minimisers import conjugate_gradients
from panorax.rl import on_policy
from panorax.rl.environments.environment import Environments
from panorax.rl.on_policy import (
    Batch,
    Rollouts,
    collect,
    evaluate,
    minibatch_updates,
    policy_change,
    standardized,
)
from panorax.rl.policies import mlp
from panorax.rl.policies.policy import Policy
from panorax.rl.rollout import sequences
from panorax.rl.seeds import Curves

UNITS = on_policy.UNITS | {"entropy": "nats", "kl": "nats", "kl_excess": "nats"}
"""units of the metrics, for the axes of curves"""
TOLERANCE = 1e-4
"""relative residual at which conjugate gradients stop"""


@checked
class Config(Rollouts):
    """Symbols of the paper are in brackets."""

    policy: mlp.Config = mlp.Config()
    """networks of the actor and the critic, without shared parameters"""
    delta: Positive = 0.01
    """largest mean KL(pi_old | pi) of a step, in nats [delta]"""
    turns: Count = 10
    """iterations of conjugate gradients"""
    damping: NonNegative = 0.1
    """multiple of the identity added to the Fisher matrix"""
    lengths: Count = 15
    """step lengths that the line search tries"""
    shrink: PositiveShare = 0.8
    """ratio of a length of the line search to the one before"""
    optim: Optimizer = AdamW(peak_lr=1e-3, schedule="constant", b2=0.999, eps=1e-5)
    """optimiser of the critic"""
    epochs: Count = 5
    """passes of the critic over a rollout"""
    minibatches: Count = 4
    """updates of the critic per pass"""

    def __post_init__(self):
        super().__post_init__()
        if self.length * self.n_envs % self.minibatches:
            steps = f"{self.n_envs} environments x {self.length} steps"
            raise ValueError(f"{steps} do not divide into {self.minibatches} equal minibatches")


def loss_fn(actor, extra, batch: Batch, key, critic, policy: Policy):
    """-L, the surrogate loss of the actor's parameters."""
    pi, _ = on_policy.apply({"actor": actor, "critic": critic}, batch, policy)
    ratio = jnp.exp(pi.log_prob(batch.action) - batch.log_prob)
    metrics = {"entropy": jnp.mean(pi.entropy())}
    return -jnp.mean(ratio * standardized(batch.advantage)), (extra, metrics)


def value_loss_fn(critic, extra, batch: Batch, key, actor, policy: Policy):
    """E[(V(s) - R)^2] of the critic's parameters."""
    _, value = on_policy.apply({"actor": actor, "critic": critic}, batch, policy)
    return jnp.mean(jnp.square(value - batch.value - batch.advantage)), (extra, {})


def trust_region(pi, cfg: Config) -> optax.GradientTransformationExtraArgs:
    """The step of the module's equations as an optax transformation.

    pi(params) is the policy at all states of the batch. `update` of `panorax.core.step` passes the
    loss as a value and as a function of the parameters.
    """

    def step(gradient, state, params, *, value, value_fn, **_):
        kl = functools.partial(mean_kl, pi(params))
        product = functools.partial(gauss_newton_product, pi, kl, params)
        x = natural_gradient(product, gradient, cfg)
        curvature = optax.tree.vdot(x, product(x))
        longest = jnp.sqrt(2 * cfg.delta / jnp.maximum(curvature, 1e-12))
        moved = lambda a: jax.tree.map(lambda x: -a * longest * x, x)
        at = lambda a: jax.tree.map(jnp.add, params, moved(a))
        fits = lambda a: (kl(pi(at(a))) <= cfg.delta) & (value_fn(at(a)) < value)
        return moved(backtracked(fits, cfg.shrink, cfg.lengths)), state

    return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), step)


def natural_gradient(product, gradient, cfg: Config):
    """(F + damping I)^-1 g by `cfg.turns` iterations of conjugate gradients on v -> F v.

    They stop early at a residual of TOLERANCE |g|. The solver's own tolerance is sqrt|g|, so it
    solves for a multiple of g whose norm is TOLERANCE^2.
    """
    g, to_tree = ravel_pytree(gradient)
    damped = lambda v: ravel_pytree(product(to_tree(v)))[0] + cfg.damping * v
    scale = TOLERANCE**2 / jnp.maximum(jnp.linalg.norm(g), 1e-20)
    return to_tree(conjugate_gradients(damped, -scale * g, jnp.inf, cfg.turns) / scale)


def mean_kl(old, new) -> jax.Array:
    """E[KL(old | new)] over the states, in nats."""
    return jnp.mean(old.kl(new))


def backtracked(fits, shrink: float, n: int) -> jax.Array:
    """The first of the n lengths 1, shrink, shrink^2, ... with fits(length), or 0 if none fits."""
    unfinished = lambda state: (state[0] < n) & ~state[1]
    following = lambda state: (state[0] + 1, fits(shrink ** state[0]))
    tried, found = jax.lax.while_loop(unfinished, following, (jnp.float32(0), jnp.array(False)))
    return jnp.where(found, shrink ** (tried - 1), 0.0)


def train_step(
    state: State,
    batch,
    key,
    policy: Policy,
    envs: Environments,
    tx: optax.GradientTransformation,
    cfg: Config,
):
    """A rollout, the constrained step of the actor, then K epochs of the critic."""
    key_rollout, key_actor, *keys = jax.random.split(key, 4)
    extra, data, metrics = collect(state, key_rollout, policy, envs, cfg)
    examples = jax.tree.map(split_batch, sequences(data, policy.span))
    actor, critic = state.params["actor"], state.params["critic"]

    loss = functools.partial(loss_fn, critic=critic, policy=policy)
    pi = lambda actor: on_policy.apply({"actor": actor, "critic": critic}, examples, policy)[0]
    step = trust_region(pi, cfg)
    actor, _, _, losses = update(loss, step, actor, step.init(actor), (), examples, key_actor)

    loss = functools.partial(value_loss_fn, actor=actor, policy=policy)
    critic, opt, fit = minibatch_updates(
        loss, tx, critic, state.opt, examples, keys, cfg.epochs, cfg.minibatches
    )
    params = {"actor": actor, "critic": critic}
    metrics |= losses | policy_change(state.params, params, examples, policy)
    metrics |= {"value_loss": fit["loss"], "kl_excess": jax.nn.relu(metrics["kl"] - cfg.delta)}
    return State(params, opt, extra, state.step + 1), metrics


def divergences(curves: Curves, cfg: Config) -> Result:
    """The KL of the steps of all seeds, in nats.

    largest_kl_excess  largest mean of max(KL - delta, 0) over a chunk of steps; 0 if no step of any
                       seed left the trust region
    mean_kl            mean over all steps; near delta if the quadratic model of the KL is accurate
    """
    excess, kl = curves.values["kl_excess"], curves.values["kl"]
    metrics = {"largest_kl_excess": float(excess.max()), "mean_kl": float(kl.mean())}
    return Result(metrics, {"kl.png": draw_divergences(curves, cfg)})


def draw_divergences(curves: Curves, cfg: Config):
    """The KL of every step, and the largest ratio that it allows, a line per seed."""
    figure, (left, right) = figures.panels(2)
    curves.draw(left, curves.values["kl"])
    left.axhline(cfg.delta, color="grey", ls=":", label="delta")
    left.set(ylabel="KL(old | new) of a step (nats)", ylim=(0, 1.5 * cfg.delta))
    curves.draw(right, np.exp(curves.values["largest_log_ratio"]))
    right.set(ylabel="largest ratio after a step")
    return figures.legends(figure)


def system(cfg: Config, tx: optax.GradientTransformation | None = None) -> System:
    """TRPO as a System; `tx` replaces the critic's optimiser.

    Raises UserError for an unknown environment.
    """
    scene = envs, _, policy = on_policy.parts(cfg)
    updates = cfg.run.steps * cfg.epochs * cfg.minibatches
    tx = tx or optimizer(cfg.optim, updates, policy.spec["critic"])
    step = functools.partial(train_step, policy=policy, envs=envs, tx=tx, cfg=cfg)
    init_opt = lambda params: tx.init(params["critic"])
    measure = functools.partial(divergences, cfg=cfg)
    return on_policy.system_of(cfg, step, evaluate, init_opt, scene, cfg.length, measure)
