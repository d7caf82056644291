"""Distillation: a small language model learns the distributions of a large one.

The teacher p is trained first, or read from a folder, and frozen. With z logits, T the temperature
and D a divergence, the student q minimises

    (1 - hard) T^2 D(softmax(z_p / T), softmax(z_q / T)) + hard CE(z_q, next token)
        + features (1 - cos(W h_q, h_p))

over the tokens of the text. h is a hidden state after the last norm, and W is learnt too.

    forward          KL(p | q)
    reverse          KL(q | p)
    jensen_shannon   the generalised divergence of `panorax.ops.losses.jensen_shannon`

With `on_policy`, a share of the steps replaces the text by the student's own continuations of its
first tokens; those steps have no term of the next token. The gradient does not pass through the
sampling.
The report trains students alone and with the teacher, on the same batches and seeds.
Source: Hinton et al. 2015, arXiv:1503.02531; Agarwal et al. 2024, arXiv:2306.13649.
"""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from panorax.core import spec as core_spec
from panorax.core import struct
from panorax.core.config import Run
from panorax.core.net import Net, stateful
from panorax.core.optim import AdamW, Optimizer, optimizer
from panorax.core.ranges import Count, NonNegative, Positive, PositiveShare, Share, checked
from panorax.core.spec import P
from panorax.core.state import Result, State, System
from panorax.core.step import update
from panorax.core.study import joined
from panorax.data.batches import windows
from panorax.data.text import Tokens
from panorax.lm import language_model
from panorax.lm.evaluation import bits_per_byte
from panorax.lm.report import report as baselines_and_samples
from panorax.lm.students import compared
from panorax.lm.training import mesh_of, trained, trainer
from panorax.nets.decoders import decoder, llama
from panorax.nets.decoders.rollouts import continuations
from panorax.ops.dot import dot
from panorax.ops.losses import categorical_kl, jensen_shannon
from panorax.ops.unembedding import Unembedding, cross_entropy_sum

UNITS = language_model.UNITS | {"divergence": "nats per token"}
"""units of the metrics, for the axes of curves"""


@checked
class Teacher:
    """The larger model and its training before it is frozen."""

    model: language_model.Decoder = llama.Model()
    """decoder of the teacher, of the student's vocabulary"""
    optim: Optimizer = AdamW()
    """optimiser of the teacher"""
    run: Run = Run()
    """number of steps and seed of the teacher's training"""


@checked
class Config(language_model.Config):
    """A student and its teacher; init-from is the folder of the teacher."""

    teacher: Teacher = Teacher()
    """teacher, trained before the first step"""
    divergence: Literal["forward", "reverse", "jensen_shannon"] = "forward"
    """divergence of the student from the teacher [D]"""
    beta: PositiveShare = 0.5
    """weight of the teacher in the mixture of jensen_shannon"""
    temperature: Positive = 1.0
    """divisor of both logits in the divergence [T]"""
    hard: Share = 0.1
    """weight of the cross entropy of the next token"""
    features: NonNegative = 0.0
    """weight of the distance of hidden states"""
    on_policy: Share = 0.0
    """probability that a step reads the student's own text"""
    prompt: Count = 16
    """first tokens of a row that the student continues, if it reads its own text"""
    seeds: Count = 5
    """students that the report trains alone, and with the teacher"""

    def __post_init__(self):
        super().__post_init__()
        if self.teacher.model.vocab != self.model.vocab and not self.init_from:
            raise ValueError(
                f"teacher.model.vocab {self.teacher.model.vocab} must be model.vocab "
                f"{self.model.vocab}: both models read the same tokens"
            )
        if self.beta == 1 or self.prompt > self.context:
            raise ValueError(
                f"beta must be below 1, got {self.beta}, and prompt at most context "
                f"{self.context}, got {self.prompt}"
            )


def started_from(cfg: Config, directory: Path, ignore: Sequence[str] = ()) -> Config:
    """`cfg` with a Hugging Face folder as the teacher, and a student of its vocabulary."""
    found = language_model.started_from(cfg, directory, ignore)
    teacher = dataclasses.replace(cfg.teacher, model=found.model)
    student = dataclasses.replace(cfg.model, vocab=found.model.vocab)
    return dataclasses.replace(found, model=student, teacher=teacher)


def implied(cfg: Config) -> dict[str, int]:
    """The vocabulary of both models, where the tokenizer determines it."""
    found = language_model.implied(cfg)
    return found | {f"teacher.{name}": size for name, size in found.items()}


def decoder_of(state: State, cfg: Config):
    """Parameters of the student, its model and sampling."""
    return state.params["student"], cfg.model, cfg.sampling


@struct.dataclass
class Both:
    """Predictions of both models for the same tokens."""

    student: Unembedding
    """predictions of the student"""
    teacher: Unembedding
    """predictions of the teacher, whose parameters are not trained"""
    feature_distance: jax.Array
    """1 - cos(W h_q, h_p) of each token, (B, T); 0 without W"""


def distilled_net(student: Net, teacher: Net, cfg: Config) -> Net:
    """Both networks as one: its parameters are the student and W, its state is the teacher.

    It maps tokens to `Both` in training, and to the logits of the student otherwise.
    """
    outputs = P(
        (cfg.model.d_model, cfg.teacher.model.d_model),
        ("embed", "labels"),
        jax.nn.initializers.normal(cfg.model.d_model**-0.5),
    )
    spec = {"student": student.spec} | ({"features": outputs} if cfg.features else {})

    def apply(params, extra, tokens_BT, key, train):
        logits, _ = student.apply(params["student"], (), tokens_BT, key=key, train=train)
        if not train:
            return logits, extra
        fixed, _ = teacher.apply(extra, (), tokens_BT)
        distance = jnp.zeros(tokens_BT.shape)
        if cfg.features:
            distance = 1 - optax.losses.cosine_similarity(
                dot(logits.x, params["features"]).astype(jnp.float32), fixed.x, epsilon=1e-6
            )
        return Both(logits, fixed, distance), extra

    return stateful(spec, teacher.spec, apply)


def divergence(p_logits, q_logits, cfg: Config) -> jax.Array:
    """T^2 D of the teacher p and the student q, (*batch,), in nats."""
    p, q = p_logits / cfg.temperature, q_logits / cfg.temperature
    kinds = {
        "forward": lambda: categorical_kl(p, q),
        "reverse": lambda: categorical_kl(q, p),
        "jensen_shannon": lambda: jensen_shannon(p, q, cfg.beta),
    }
    return cfg.temperature**2 * kinds[cfg.divergence]()


def loss_fn(params, extra, batch, key, net: Net, cfg: Config):
    """The loss of rows (B, T + 1); `is_text` (B,) is 0 for rows that the student has written."""
    rows_BT1, is_text_B = batch
    both, extra = net.apply(params, extra, rows_BT1[:, :-1], key=key, train=True)
    gap_BT = divergence(both.teacher.logits(), both.student.logits(), cfg)
    label_BT, is_text_BT = rows_BT1[:, 1:], jnp.broadcast_to(is_text_B[:, None], gap_BT.shape)
    hard = cross_entropy_sum(both.student, label_BT, is_text_BT) / label_BT.size
    loss = jnp.mean((1 - cfg.hard * is_text_BT) * gap_BT) + cfg.hard * hard
    loss += cfg.features * jnp.mean(both.feature_distance)
    return loss, (extra, {"divergence": jnp.mean(gap_BT)})


def own_text(params, batch_BT1, key, cfg: Config):
    """Rows of the same shape: the first `cfg.prompt` tokens, continued by the student."""
    prompt, new = batch_BT1[:, : cfg.prompt], batch_BT1.shape[1] - cfg.prompt
    lengths = jnp.full(len(prompt), cfg.prompt)
    written = continuations(params["student"], prompt, lengths, key, new=new, cfg=cfg.model)
    return jnp.concatenate([prompt, written], 1)


evaluate = language_model.evaluate


def train_step(state: State, batch, key, net: Net, tx: optax.GradientTransformation, cfg: Config):
    """One update on the text, or with probability `cfg.on_policy` on the student's own text."""
    key_coin, key_text, key_update = jax.random.split(key, 3)
    rows = batch, jnp.ones(len(batch))
    if cfg.on_policy:
        own = lambda: (own_text(state.params, batch, key_text, cfg), jnp.zeros(len(batch)))
        rows = jax.lax.cond(jax.random.uniform(key_coin) < cfg.on_policy, own, lambda: rows)
    loss = functools.partial(loss_fn, net=net, cfg=cfg)
    params, opt, extra, metrics = update(
        loss, tx, state.params, state.opt, state.extra, rows, key_update, cfg.accumulate
    )
    return State(params, opt, extra, state.step + 1), metrics


def students(distilled: System, alone: System, state: State, text: Tokens, cfg: Config) -> dict:
    """Bits per byte (S,) of students alone and of distilled ones, from the same seeds and batches.

    A student alone minimises the cross entropy of the next token.
    """
    mesh, bits = mesh_of(state.step), bits_per_byte(decoder.net(cfg.model))
    with_teacher = trainer(distilled, cfg.run, mesh)
    by_itself = trainer(alone, cfg.run, mesh)
    found = {"alone": [], "distilled": []}
    for seed in range(cfg.run.seed + 1, cfg.run.seed + 1 + cfg.seeds):
        rows = functools.partial(windows, text.train, cfg.batch, cfg.context + 1, seed)
        found["alone"].append(bits(by_itself(seed, rows), distilled.held_out()))
        params = with_teacher(seed, rows, extra=state.extra)["student"]
        found["distilled"].append(bits(params, distilled.held_out()))
    return {name: np.array(x) for name, x in found.items()}


def system(
    cfg: Config, net: Net | None = None, tx: optax.GradientTransformation | None = None
) -> System:
    """Distillation as a System; `net` and `tx` replace the student's decoder and its optimiser."""
    student, large = net or decoder.net(cfg.model), decoder.net(cfg.teacher.model)
    both = distilled_net(student, large, cfg)
    tx = tx or optimizer(cfg.optim, cfg.run.steps, both.spec)
    of_teacher = {"model": cfg.teacher.model, "optim": cfg.teacher.optim, "run": cfg.teacher.run}
    teacher = language_model.system(dataclasses.replace(cfg, **of_teacher), large)
    alone = language_model.system(dataclasses.replace(cfg, init_from=None), student)
    text = functools.cache(lambda: language_model.text_of(cfg))

    def pretrained(shardings: State):
        if cfg.init_from:
            loaded = teacher.pretrained(shardings.replace(params=shardings.extra))
            return {"extra": loaded["params"]}
        return {"extra": trained(teacher, cfg.teacher.run, shardings.step.mesh)}

    def report(state: State, key: jax.Array) -> Result:
        samples = baselines_and_samples(state.params["student"], text(), key, cfg)
        bits = students(distilled, alone, state, text(), cfg)
        teacher_bits = bits_per_byte(large)(state.extra, distilled.held_out())
        return joined([samples, compared(bits, teacher_bits)])

    distilled = dataclasses.replace(
        language_model.on_text(language_model.system(cfg, both, tx), text, cfg),
        train_step=functools.partial(train_step, net=both, tx=tx, cfg=cfg),
        files=teacher.files,
        report=report,
        extra_axes=core_spec.axes(large.spec),
        pretrained=pretrained,
    )
    return distilled
