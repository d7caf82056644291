"""Direct preference optimisation: a chat model learns from pairs of answers, without rewards.

RLHF maximises E[r] - beta KL(pi | pi_ref), whose optimum has the reward

    r(x, y) = beta log pi(y | x) / pi_ref(y | x) + beta log Z(x).

In the Bradley-Terry probability that y is preferred to y', Z cancels. DPO minimises its negative
logarithm over pairs of a chosen answer y and a rejected answer y':

    L = - log sigmoid(beta log pi(y | x) / pi_ref(y | x) - beta log pi(y' | x) / pi_ref(y' | x)).

Training holds two models, the policy (`State.params`) and the frozen reference (`State.extra`);
PPO holds four. `--objective` chooses IPO, KTO, ORPO or SimPO instead; the last two hold one model.

The run starts from a folder or a run (`--init-from`), or first fine-tunes a model on imperfect
answers. Pairs are a file (`--data.path`), or generated tasks with a right and a spoiled answer.
Source: Rafailov et al. 2023, arXiv:2305.18290.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax

from panorax.alignment import answers, enumerable, pairs, sft
from panorax.alignment.base import Base, base_of, parameters
from panorax.alignment.objectives import DPO, Objective, Scores
from panorax.core import spec as core_spec
from panorax.core.config import Run
from panorax.core.net import Net
from panorax.core.optim import AdamW, Optimizer, optimizer
from panorax.core.ranges import Count, checked
from panorax.core.state import Result, State, System, first_state
from panorax.core.step import update
from panorax.data import packing, tokenizer
from panorax.data.batches import epochs
from panorax.lm import language_model
from panorax.nets.decoders import decoder, llama, packed
from panorax.ops.preferences import answer_log_probs
from panorax.ops.sampling import Sampling

UNITS = {"loss": "per pair", "margin": "log ratio (nats)"}
"""units of the metrics, for the axes of curves"""


@checked
class Config:
    """A fine-tuned decoder and its preferences."""

    model: language_model.Decoder = llama.Model()
    """decoder and its sizes"""
    base: Base = Base()
    """fine-tuning of the model that training starts from"""
    data: pairs.Data = pairs.Data()
    """preferences, and how they are split"""
    objective: Objective = DPO()
    """loss of a pair"""
    optim: Optimizer = AdamW()
    """optimiser of all parameters"""
    run: Run = Run()
    """number of steps, seed, and intervals of evaluation and checkpoints"""
    batch: Count = 32
    """pairs per step [B]"""
    context: Count = 64
    """tokens predicted in each row, a prompt and its answer [T]"""
    init_from: str | None = None
    """Hugging Face folder with the initial weights and the tokenizer; None for the base"""
    ignore_key: tuple[str, ...] = ()
    """unknown keys of that folder's config.json that do not affect what the model computes"""
    sampling: Sampling = Sampling(temperature=0.7, top_p=0.95)
    """sampling of `panorax chat` and `panorax generate`; the report samples at temperature 1"""


started_from = sft.started_from
decoder_of = sft.decoder_of


def log_probs(params, batch, names: Sequence[str], net: Net) -> list[jax.Array]:
    """Summed log-probabilities (B,) of the answers that `names` are, by one forward pass."""
    rows = jax.tree.map(lambda *x: jnp.concatenate(x), *(batch[name] for name in names))
    read, label_BT = sft.inputs(rows)
    logits_BTV, _ = net.apply(params, (), *read)
    return jnp.split(answer_log_probs(logits_BTV, label_BT, rows["weights"]), len(names))


def scores(params, reference, batch, objective: Objective, net: Net) -> Scores:
    """The log-probabilities that an objective reads; those of the reference have no gradient."""
    names = ("chosen", "rejected", "mismatched")[: 2 + objective.reads_mismatched]
    policy = log_probs(params, batch, names, net)
    frozen = [jnp.zeros_like(x) for x in policy]
    if objective.reads_reference:
        frozen = jax.lax.stop_gradient(log_probs(reference, batch, names, net))
    length = lambda name: jnp.maximum(jnp.sum(batch[name]["weights"], 1), 1)
    mismatched = policy[2] - frozen[2] if objective.reads_mismatched else None
    lengths = (length("chosen"), length("rejected"))
    return Scores(*policy[:2], *frozen[:2], *lengths, mismatched)


def loss_fn(params, extra, batch, key, net: Net, objective: Objective):
    """Mean loss of the pairs. Metrics: `margin` and `accuracy` of the implicit reward."""
    of_batch = scores(params, extra, batch, objective, net)
    chosen, rejected = of_batch.ratios()
    metrics = {
        "margin": jnp.mean(chosen - rejected),
        "accuracy": jnp.mean(chosen > rejected),
        "chosen_log_ratio": jnp.mean(chosen),
        "rejected_log_ratio": jnp.mean(rejected),
    }
    return jnp.mean(objective.losses(of_batch)), (extra, metrics)


def train_step(
    state: State, batch, key, net: Net, tx: optax.GradientTransformation, objective: Objective
):
    """One update of the policy."""
    loss = functools.partial(loss_fn, net=net, objective=objective)
    params, opt, extra, metrics = update(loss, tx, state.params, state.opt, state.extra, batch, key)
    return State(params, opt, extra, state.step + 1), metrics


def evaluate(state: State, batch, key, net: Net, objective: Objective):
    """Loss, margin and accuracy of held-out pairs, of which padding has no chosen token."""
    of_batch = scores(state.params, state.extra, batch, objective, net)
    is_pair = jnp.any(batch["chosen"]["weights"] > 0, 1)
    margin = jnp.subtract(*of_batch.ratios())
    total = lambda x: (jnp.sum(jnp.where(is_pair, x, 0.0)), jnp.sum(is_pair))
    return {
        "eval_loss": total(objective.losses(of_batch)),
        "eval_margin": total(margin),
        "eval_accuracy": total(margin > 0),
    }


def sampled_kl(params, reference, given: Sequence[answers.Answer], tokens, net: Net, context: int):
    """KL(pi | pi_ref) of an answer in nats, by the mean log ratio of answers sampled from pi."""
    examples = [
        pairs.answered(x.messages[:-1], (x.messages[-1] | {"content": x.text},), tokens)
        for x in given
    ]
    fitting = [x for x in examples if len(x.ids) <= context + 1]
    rows = {"sampled": packing.one_each(fitting, context)}
    of = jax.jit(lambda params: log_probs(params, rows, ("sampled",), net)[0])
    return float(np.mean(jax.device_get(of(params)) - jax.device_get(of(reference))))


def report(state: State, key: jax.Array, split, tokens, net: Net, cfg: Config) -> Result:
    """Right answers sampled before and after, the divergence from the reference, and the optimum
    of `panorax.alignment.enumerable`.
    """
    asked = [(*pair.prompt, pair.chosen[-1]) for pair in split.held_out[: cfg.data.tested]]
    options = {"tokens": tokens, "key": key, "cfg": cfg.model, "sampling": Sampling()}
    answer = functools.partial(answers.answered, conversations=asked, **options)
    after = answer(state.params)
    metrics = {"true_accuracy_after": answers.scores(after)["exact_match"]}
    if cfg.objective.reads_reference:
        before = answers.scores(answer(state.extra))["exact_match"]
        kl = sampled_kl(state.params, state.extra, after, tokens, net, cfg.context)
        metrics |= {"true_accuracy_before": before, "kl_to_reference": kl}
    size = lambda tree: sum(x.size for x in jax.tree.leaves(tree))
    metrics["models_held"] = size((state.params, state.extra)) / size(state.params)
    metrics |= enumerable.reached(enumerable.drawn(key, 1.0))
    return Result(metrics, {"samples.txt": answers.shown(after)})


def system(
    cfg: Config, net: Net | None = None, tx: optax.GradientTransformation | None = None
) -> System:
    """Preference optimisation as a System; `net` and `tx` replace the network and the optimiser."""
    net = net or packed.net(cfg.model)
    tx = tx or optimizer(cfg.optim, cfg.run.steps, net.spec)
    base = sft.system(base_of(cfg), net)
    reference = cfg.objective.reads_reference
    parts = {"net": net, "objective": cfg.objective}

    @functools.cache
    def tokens():
        return tokenizer.from_json(base.files()["tokenizer.json"])

    @functools.cache
    def data() -> pairs.Pairs:
        return pairs.load(pairs.preferences_of(cfg.data, cfg.run.seed), tokens(), cfg.context)

    def init_state(key):
        params, _ = net.init(key)
        return first_state(params, tx, params if reference else ())

    def pretrained(shardings: State):
        params = parameters(base, cfg, shardings)
        copy = lambda: jax.tree.map(jnp.copy, params)
        return {"params": params} | ({"extra": copy()} if reference else {})

    def batches(step):
        n = len(data().train["chosen"]["tokens"])
        return pairs.at(data().train, epochs(n, cfg.batch, cfg.run.seed, step))

    return System(
        spec=net.spec,
        init_state=init_state,
        train_step=functools.partial(train_step, tx=tx, **parts),
        evaluate=functools.partial(evaluate, **parts),
        batch=dict.fromkeys(
            ("chosen", "rejected", "mismatched"), packing.shapes(cfg.batch, cfg.context)
        ),
        batches=batches,
        held_out=lambda: pairs.in_batches(data().held_out, cfg.batch),
        report=lambda state, key: report(state, key, data().split, tokens(), net, cfg),
        extra_axes=core_spec.axes(net.spec) if reference else None,
        summary=lambda: data().summary(),
        files=lambda: base.files() | data().files(),
        pretrained=pretrained,
        per_step={"pairs": cfg.batch},
        footprint=lambda: decoder.footprint(cfg.model, cfg.context),
    )
