"""Group-relative policy optimisation: a chat model learns from rewards of its own answers.

For each prompt the model samples G answers with a cache, inside the training step. An answer has
the reward 1 if it is the right one, else 0. With the advantages A of a group and the ratio w of the
policy to the policy that sampled, training minimises the mean over tokens of

    - min(w A, clip(w, 1 - low, 1 + high) A) + beta (pi_ref / pi - log(pi_ref / pi) - 1).

`panorax.ops.group_relative` has the advantages, the losses, and the four means that are in use.
There is no critic: the group's mean reward is the baseline. A group whose answers are all right or
all wrong has no gradient; `informative` is the share of the other groups.

The run starts from a folder or a run (`--init-from`), or first fine-tunes a model on imperfect
answers. `pass_at_1` is the mean reward of an answer that is sampled at temperature 1, and
`pass_at_k` the share of prompts with a right one among k.
Source: Shao et al. 2024, arXiv:2402.03300; DeepSeek-R1, arXiv:2501.12948.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from panorax.alignment import prompts, sft
from panorax.alignment.base import Base, base_of, parameters
from panorax.alignment.rewarded import log_probs, sampled
from panorax.core import spec as core_spec
from panorax.core.config import Run
from panorax.core.net import Net
from panorax.core.optim import AdamW, Optimizer, optimizer
from panorax.core.ranges import Count, NonNegative, Positive, PositiveShare, checked
from panorax.core.state import Result, State, System, first_state
from panorax.core.step import evaluated, update
from panorax.core.study import family
from panorax.data import tokenizer
from panorax.data.batches import epochs, padded
from panorax.lm import language_model
from panorax.lm.training import mesh_of, trainer
from panorax.nets.decoders import decoder, llama
from panorax.ops.group_relative import (
    Aggregation,
    Level,
    Scale,
    aggregated,
    clipped_policy_loss,
    group_advantages,
    reference_kl,
)
from panorax.ops.losses import weighted_mean
from panorax.ops.sampling import Sampling

UNITS = {"reward": "share of right answers", "kl": "nats per token", "length": "tokens"}
"""units of the metrics, for the axes of curves"""


@checked
class Config:
    """A fine-tuned decoder and the optimisation of its rewards."""

    model: language_model.Decoder = llama.Model()
    """decoder and its sizes"""
    base: Base = Base()
    """fine-tuning of the model that training starts from"""
    data: prompts.Data = prompts.Data()
    """prompts and right answers"""
    optim: Optimizer = AdamW()
    """optimiser of all parameters"""
    run: Run = Run()
    """number of steps, seed, and intervals of evaluation and checkpoints"""
    batch: Count = 16
    """prompts per step [N]"""
    group: Count = 8
    """answers to each prompt [G]"""
    context: Count = 32
    """largest number of tokens of a prompt"""
    new: Count = 8
    """largest number of tokens of an answer, its end included"""
    updates: Count = 1
    """updates on the answers of a step; the first has the ratio 1"""
    scale: Scale = "group"
    """deviation that divides the advantages: of the group, of the batch, or none"""
    epsilon: Positive = 1e-4
    """number added to the deviation"""
    aggregation: Aggregation = "dapo"
    """mean of the losses of the tokens"""
    level: Level = "token"
    """ratios of single tokens, or of whole answers (GSPO)"""
    clip_low: PositiveShare = 0.2
    """largest decrease of the ratio that is rewarded"""
    clip_high: Positive = 0.2
    """largest increase of the ratio that is rewarded"""
    beta: NonNegative = 0.0
    """weight of the divergence from the reference [beta]"""
    init_from: str | None = None
    """Hugging Face folder with the initial weights and the tokenizer; None for the base"""
    ignore_key: tuple[str, ...] = ()
    """unknown keys of that folder's config.json that do not affect what the model computes"""
    sampling: Sampling = Sampling(temperature=0.7, top_p=0.95)
    """sampling of `panorax chat` and `panorax generate`; training and report use temperature 1"""
    seeds: Count = 3
    """seeds that the report trains from the same start"""

    def __post_init__(self):
        if self.group < 2:
            raise ValueError("group must be at least 2: one answer has no advantage over itself")


started_from = sft.started_from
decoder_of = sft.decoder_of


def loss_fn(params, extra, batch, key, net: Net, cfg: Config):
    """The loss of answers. Metrics: `clipped`, the share of tokens whose ratio is clipped, `kl`."""
    log_prob = log_probs(params, batch["rows"], batch["place"], net)
    weight, advantage = batch["weight"], batch["advantage"]
    bounds = cfg.level, cfg.clip_low, cfg.clip_high
    loss, clipped = clipped_policy_loss(log_prob, batch["old"], advantage, weight, *bounds)
    kl = reference_kl(log_prob, batch["reference"])
    mean_tokens = jnp.mean(batch["mean_tokens"])
    metrics = {"clipped": weighted_mean(clipped, weight), "kl": weighted_mean(kl, weight)}
    loss = aggregated(loss + cfg.beta * kl, weight, cfg.aggregation, mean_tokens)
    return loss, (extra, metrics)


def train_step(state: State, batch, key, net: Net, tx: optax.GradientTransformation, cfg: Config):
    """Samples answers to the prompts, then makes `cfg.updates` updates on them."""
    key_sample, key_update = jax.random.split(key)
    rows, place, weight, reward = sampled(state.params, batch, key_sample, cfg)
    advantage = group_advantages(reward, cfg.scale, cfg.epsilon).reshape(-1)
    answers = {
        "rows": rows,
        "place": place,
        "weight": weight,
        "advantage": advantage,
        "old": log_probs(state.params, rows, place, net),
        "reference": log_probs(state.extra, rows, place, net),
        "mean_tokens": jnp.full(len(rows), jnp.mean(jnp.sum(weight, 1))),
    }
    loss = functools.partial(loss_fn, net=net, cfg=cfg)

    def learn(carry, key):
        params, opt, extra, metrics = update(loss, tx, *carry, state.extra, answers, key)
        return (params, opt), metrics

    keys = jax.random.split(key_update, cfg.updates)
    (params, opt), metrics = jax.lax.scan(learn, (state.params, state.opt), keys)
    metrics = jax.tree.map(jnp.mean, metrics) | {
        "reward": jnp.mean(reward),
        "informative": jnp.mean(jnp.ptp(reward, 1) > 0),
        "length": jnp.mean(jnp.sum(weight, 1)),
    }
    return State(params, opt, state.extra, state.step + 1), metrics


def evaluate(state: State, batch, key, cfg: Config):
    """Share of right answers, and of prompts with a right one among `cfg.group`."""
    reward = sampled(state.params, batch, key, cfg).reward
    is_prompt = (batch["length"] > 0).astype(jnp.float32)
    total = lambda x_N: (jnp.sum(is_prompt * x_N), jnp.sum(is_prompt))
    return {"eval_pass_at_1": total(jnp.mean(reward, 1)), "eval_pass_at_k": total(reward.max(1))}


def measured(grpo: System, state: State, key) -> dict[str, float]:
    """The metrics of `evaluate` over all held-out prompts."""
    compiled = jax.jit(grpo.evaluate)
    totals = lambda state, batch, key: jax.device_get(compiled(state, batch, key))
    return {name: float(x) for name, x in evaluated(totals, state, grpo.held_out(), key).items()}


def over_seeds(grpo: System, state: State, rows: dict, key, cfg: Config) -> Result:
    """Both shares before training, and after it over `cfg.seeds` seeds from the same start."""
    start = state.replace(params=state.extra)
    before = measured(grpo, start, key)
    train, after = trainer(grpo, cfg.run, mesh_of(state.step)), []
    for seed in range(cfg.run.seed + 1, cfg.run.seed + 1 + cfg.seeds):
        batches = functools.partial(at, rows, cfg.batch, seed)
        params = train(seed, batches, params=state.extra, extra=state.extra)
        after.append(measured(grpo, start.replace(params=params), key))
    metrics = {}
    for name in before:
        values = np.array([x[name] for x in after])
        gains = {"before": before[name], "after": values.mean(), "least_after": values.min()}
        gains["gain"] = values.mean() - before[name]
        metrics |= family("{}_{}", {(name.removeprefix("eval_"), k): x for k, x in gains.items()})
    return Result(metrics)


def at(rows: dict[str, np.ndarray], batch: int, seed: int, step: int) -> dict[str, np.ndarray]:
    """The prompts of a step."""
    chosen = epochs(len(rows["length"]), batch, seed, step)
    return {name: x[chosen] for name, x in rows.items()}


def system(
    cfg: Config, net: Net | None = None, tx: optax.GradientTransformation | None = None
) -> System:
    """GRPO as a System; `net` and `tx` replace the decoder and the optimiser.

    `net` and the sampling share the parameters of `cfg.model`.
    """
    net = net or decoder.net(cfg.model)
    tx = tx or optimizer(cfg.optim, cfg.run.steps * cfg.updates, net.spec)
    base = sft.system(base_of(cfg))

    @functools.cache
    def data() -> prompts.Prompts:
        tokens = tokenizer.from_json(base.files()["tokenizer.json"])
        split = prompts.prompts_of(cfg.data, cfg.run.seed)
        return prompts.load(split, tokens, cfg.context, cfg.new)

    def init_state(key):
        params, _ = net.init(key)
        return first_state(params, tx, params)

    def pretrained(shardings: State):
        params = parameters(base, cfg, shardings)
        return {"params": params, "extra": jax.tree.map(jnp.copy, params)}

    shape = lambda *sizes: jax.ShapeDtypeStruct((cfg.batch, *sizes), jnp.int32)
    grpo = System(
        spec=net.spec,
        init_state=init_state,
        train_step=functools.partial(train_step, net=net, tx=tx, cfg=cfg),
        evaluate=functools.partial(evaluate, cfg=cfg),
        batch={"tokens": shape(cfg.context), "length": shape(), "answer": shape(cfg.new)},
        batches=lambda step: at(data().train, cfg.batch, cfg.run.seed, step),
        held_out=lambda: padded(data().held_out, cfg.batch),
        report=lambda state, key: over_seeds(grpo, state, data().train, key, cfg),
        extra_axes=core_spec.axes(net.spec),
        summary=lambda: data().summary(),
        files=lambda: base.files() | data().files(),
        pretrained=pretrained,
        per_step={"answers": cfg.batch * cfg.group},
        footprint=lambda: decoder.footprint(cfg.model, cfg.context + cfg.new),
    )
    return grpo
