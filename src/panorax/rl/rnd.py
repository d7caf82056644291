"""Random network distillation: an exploration bonus from the error of a predictor, on PPO.

The intrinsic reward is the bonus of `panorax.rl.novelty`. Each reward has a critic and a discount
of its own. Intrinsic returns go on over the ends of episodes: the end of an episode must not cost
the agent the novelty of the next one. PPO's clipped loss gets the advantage

    A = w_E A_E + w_I A_I.

The report trains on DeepSea of several sizes n, with the bonus and without it (w_I = 0). In DeepSea
only one of 2^n sequences of actions is rewarded, and each of its steps has a cost.
Source: Burda et al. 2018, arXiv:1810.12894; Osband et al. 2020, arXiv:1908.03568 (DeepSea).
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax

from panorax.core import figures, struct
from panorax.core import spec as core_spec
from panorax.core.optim import AdamW, Optimizer, optimizer
from panorax.core.ranges import Count, DecayRate, NonNegative, Positive, checked
from panorax.core.state import Result, State, System, first_state
from panorax.core.study import family
from panorax.nets import mlp as perceptrons
from panorax.ops.returns import gae
from panorax.rl import moments, novelty, on_policy
from panorax.rl.environments import deep_sea, from_gymnax, probes
from panorax.rl.environments.environment import Environments
from panorax.rl.episodes import metrics as episode_metrics
from panorax.rl.on_policy import (
    Batch,
    Rollouts,
    clipped_surrogate,
    minibatch_updates,
    sampler,
    standardized,
    to_batch,
)
from panorax.rl.policies import mlp
from panorax.rl.policies.policy import Policy
from panorax.rl.rollout import Running, Trajectory, rollout, sequences, start
from panorax.rl.seeds import train_seeds

UNITS = on_policy.UNITS | {"entropy": "nats", "approx_kl": "nats"}
"""units of the metrics, for the axes of curves"""
SOLVED = 0.8
"""mean return at which DeepSea counts as solved; the best return is 0.99"""


@checked
class Config(Rollouts):
    """Symbols of the module's equations are in brackets."""

    environment: deep_sea.Config | from_gymnax.Config | probes.Config = deep_sea.Config()
    """environment to act in"""
    policy: mlp.Config = mlp.Config()
    """networks of the actor and the extrinsic critic; the intrinsic critic is like the latter"""
    features: Count = 32
    """outputs of the random and the trained network [K]"""
    width: Count = 64
    """hidden units of the random and the trained network"""
    extrinsic_weight: NonNegative = 2.0
    """weight of the extrinsic advantage [w_E]"""
    intrinsic_weight: NonNegative = 1.0
    """weight of the intrinsic advantage [w_I]; 0 is PPO"""
    intrinsic_discount: DecayRate = 0.99
    """discount per step of the intrinsic return"""
    optim: Optimizer = AdamW(peak_lr=1e-3, schedule="constant", b2=0.999, eps=1e-5, clip=0.5)
    """optimiser of all parameters"""
    epochs: Count = 4
    """passes over a rollout"""
    minibatches: Count = 4
    """updates per epoch"""
    clip: Positive = 0.2
    """radius of the clipped probability ratio around 1"""
    value_weight: NonNegative = 0.5
    """weight of the squared errors of both critics"""
    entropy_weight: NonNegative = 0.001
    """weight of the entropy bonus"""
    sizes: tuple[Count, ...] = (10, 14, 20, 30)
    """sizes of DeepSea that the report trains on [n]"""

    def __post_init__(self):
        super().__post_init__()
        if self.length * self.n_envs % self.minibatches:
            steps = f"{self.n_envs} environments x {self.length} steps"
            raise ValueError(f"{steps} do not divide into {self.minibatches} equal minibatches")


@struct.dataclass
class Extra:
    """State besides the parameters."""

    running: Running
    """environments and the policy's memory"""
    observed: moments.Moments
    """moments of all observations so far"""
    novelty: novelty.Novelty
    """random network and statistics of the bonus"""


@struct.dataclass
class Examples:
    """Training examples; all leaves are (B, 1, ...)."""

    acting: Batch
    """examples of PPO, with the extrinsic advantages and values"""
    view: jax.Array
    """standardised observation after the step"""
    value: jax.Array
    """value of the intrinsic critic"""
    advantage: jax.Array
    """intrinsic advantage A_I"""


def spec(cfg: Config, policy: Policy, shape: tuple[int, ...]):
    """Parameters of the policy, of the intrinsic critic, and of the predictor."""
    return {
        "policy": policy.spec,
        "critic": perceptrons.spec((math.prod(shape), *cfg.policy.hidden, 1)),
        "predictor": novelty.feature_spec(shape, cfg.width, cfg.features),
    }


def intrinsic_value(params, view: jax.Array) -> jax.Array:
    """Value of the intrinsic critic at views (T, N, ...)."""
    return perceptrons.perceptron(params["critic"], view.reshape(*view.shape[:2], -1))[..., 0]


def intrinsic_advantages(params, trajectory: Trajectory, last_view, reward, cfg: Config):
    """(values, advantages) of the intrinsic stream, which no end of an episode interrupts."""
    views = jnp.concatenate([trajectory.observation.view, last_view[None]])
    value, never = intrinsic_value(params, views), jnp.zeros_like(trajectory.first)
    rates = cfg.intrinsic_discount, cfg.gae_lambda
    return value[:-1], gae(reward, value[:-1], value[1:], never, never, *rates)


def loss_fn(params, extra, batch: Examples, key, target, policy: Policy, cfg: Config):
    """PPO's clipped loss with both advantages, both critics' errors, and the predictor's error."""
    acting = batch.acting
    pi, value = on_policy.apply(params["policy"], acting, policy)
    A = cfg.extrinsic_weight * acting.advantage + cfg.intrinsic_weight * batch.advantage
    log_ratio = pi.log_prob(acting.action) - acting.log_prob
    policy_loss, metrics = clipped_surrogate(log_ratio, standardized(A), cfg.clip)
    extrinsic = jnp.mean(jnp.square(value - acting.value - acting.advantage))
    value = intrinsic_value(params, acting.observation.view)
    intrinsic = jnp.mean(jnp.square(value - batch.value - batch.advantage))
    distillation = jnp.mean(novelty.prediction_error(params["predictor"], target, batch.view))
    entropy = jnp.mean(pi.entropy())
    loss = policy_loss + cfg.value_weight * (extrinsic + intrinsic) + distillation
    metrics |= {"policy_loss": policy_loss, "value_loss": extrinsic, "entropy": entropy}
    metrics |= {"intrinsic_value_loss": intrinsic, "distillation_loss": distillation}
    return loss - cfg.entropy_weight * entropy, (extra, metrics)


def train_step(
    state: State,
    batch,
    key,
    policy: Policy,
    envs: Environments,
    tx: optax.GradientTransformation,
    cfg: Config,
):
    """A rollout with its two rewards, then epochs of minibatches."""
    key_rollout, *keys = jax.random.split(key, 3)
    params, extra = state.params, state.extra
    act = sampler(state.replace(params=params["policy"]), policy, cfg)
    running, trajectory = rollout(act, envs, extra.running, key_rollout, cfg.length)
    next_view, last = trajectory.next_observation.view, running.observation.view
    observed = moments.merge(extra.observed, next_view)
    view = moments.standardize(next_view, observed, novelty.BOUND)
    bonus, reward = novelty.rewards(
        extra.novelty, params["predictor"], view, cfg.intrinsic_discount
    )
    value, advantage = intrinsic_advantages(params, trajectory, last, reward, cfg)
    data = to_batch(params["policy"], trajectory, policy, cfg)
    examples = sequences(Examples(data, view, value, advantage), 1)
    loss = functools.partial(loss_fn, target=bonus.target, policy=policy, cfg=cfg)
    params, opt, metrics = minibatch_updates(
        loss, tx, params, state.opt, examples, keys, cfg.epochs, cfg.minibatches
    )
    metrics |= episode_metrics(running.episodes) | {"intrinsic_reward": jnp.mean(reward)}
    return State(params, opt, Extra(running, observed, bonus), state.step + 1), metrics


def evaluate(state: State, batch, key, policy: Policy, envs: Environments, cfg: Config):
    """Mean undiscounted return and length of `envs.n` episodes under the mode of the policy."""
    acting = state.replace(params=state.params["policy"])
    return on_policy.evaluate(acting, batch, key, policy, envs, cfg)


def solving_steps(key: jax.Array, cfg: Config, size: int) -> np.ndarray:
    """Environment steps of each seed until its mean return exceeds SOLVED, infinite if never.

    Rollouts are one episode long.
    """
    scene = dataclasses.replace(cfg.environment, size=size)
    sized = dataclasses.replace(cfg, environment=scene, length=size, seeds=0)
    curves, _ = train_seeds(system(sized), cfg.run, jax.random.split(key, cfg.seeds))
    is_solved = curves.values["return"] > SOLVED
    return np.where(is_solved.any(1), curves.steps[is_solved.argmax(1)], np.inf)


def deep_sea_report(key: jax.Array, cfg: Config) -> Result:
    """Steps until DeepSea is solved, by its size, with the bonus and without it."""
    plain = dataclasses.replace(cfg, intrinsic_weight=0.0)
    keys = jax.random.split(key, len(cfg.sizes))
    bonus, without = (
        {n: solving_steps(key, c, n) for n, key in zip(cfg.sizes, keys)} for c in (cfg, plain)
    )
    return Result(solving_metrics(bonus, without), {"deep_sea.png": draw_steps(bonus, without)})


def solving_metrics(
    bonus: dict[int, np.ndarray], without: dict[int, np.ndarray]
) -> dict[str, float]:
    """Shares of the seeds that solve each size, and the exponent of the steps with the bonus.

    The exponent is the slope of log(steps) over log(size), of the median seeds and the sizes that
    they solve; 0 for fewer than two sizes.
    """
    solved = lambda steps: {n: np.mean(np.isfinite(x)) for n, x in steps.items()}
    metrics = family("solved_at_size_{}", solved(bonus))
    metrics |= family("solved_without_bonus_at_size_{}", solved(without))
    median = {n: np.median(x) for n, x in bonus.items() if np.isfinite(np.median(x))}
    sizes, steps = np.log([*median]), np.log([*median.values()])
    metrics["exponent"] = float(np.polyfit(sizes, steps, 1)[0]) if len(median) > 1 else 0.0
    return metrics


def draw_steps(bonus: dict[int, np.ndarray], without: dict[int, np.ndarray]):
    """Steps until solved over the size, a point per seed; unsolved seeds have no point."""
    figure, (ax,) = figures.panels(width=6, height=4)
    for steps, label, marker in ((bonus, "with the bonus", "o"), (without, "without", "x")):
        sizes = np.repeat([*steps], [len(x) for x in steps.values()])
        ax.plot(sizes, np.concatenate([*steps.values()]), marker, label=label)
    sizes = np.array([*bonus])
    ax.plot(sizes, 2.0**sizes * sizes, color="grey", ls=":", label="random actions: 2^n episodes")
    ends = np.isfinite(np.concatenate([*bonus.values(), [1e6]]))
    top = np.concatenate([*bonus.values(), [1e6]])[ends].max()
    ax.set(xlabel="size n", ylabel="environment steps until solved", yscale="log", xscale="log")
    ax.set(ylim=(1e3, 3 * top))
    return figures.legends(figure)


def system(cfg: Config, tx: optax.GradientTransformation | None = None) -> System:
    """PPO with the bonus as a System; `tx` replaces the optimiser.

    Raises UserError for an unknown environment.
    """
    envs, held_out, policy = on_policy.parts(cfg)
    whole = spec(cfg, policy, envs.shape)
    tx = tx or optimizer(cfg.optim, cfg.run.steps * cfg.epochs * cfg.minibatches, whole)

    def init_state(key):
        key_params, key_target, key_envs = jax.random.split(key, 3)
        running = start(envs, policy.empty_memory(envs.n), key_envs)
        bonus = novelty.initial(key_target, envs.n, whole["predictor"])
        extra = Extra(running, moments.initial(envs.shape), bonus)
        return first_state(core_spec.init(whole, key_params), tx, extra)

    return System(
        spec=whole,
        init_state=init_state,
        train_step=functools.partial(train_step, policy=policy, envs=envs, tx=tx, cfg=cfg),
        evaluate=functools.partial(evaluate, policy=policy, envs=held_out, cfg=cfg),
        report=lambda state, key: deep_sea_report(key, cfg) if cfg.seeds else Result({}),
        extra_axes=Extra(
            running=("batch",), observed=None, novelty=novelty.Novelty(None, ("batch",), None)
        ),
        per_step={"environment_steps": cfg.n_envs * cfg.length},
        on_host=envs.on_host,
    )
