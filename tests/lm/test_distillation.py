"""Distillation: the loss of both models, the student's own text, and the teacher's folder."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from panorax.configs.lm import distillation as config
from scipy.special import log_softmax, rel_entr

from panorax.core import spec as core_spec
from panorax.core.errors import UserError
from panorax.data import tokenizer
from panorax.interop import huggingface
from panorax.lm import distillation
from panorax.nets.decoders import decoder
from panorax.nets.decoders.llama import Model
from panorax.parallel.sharding import make_mesh, placement
from panorax.testing.tolerances import LAYER

KEY = jax.random.key(0)
BASE = dataclasses.replace(config.smoke(), features=0.0)
ROWS = np.random.default_rng(0).integers(0, 257, (4, 17)).astype(np.int32)


@functools.cache
def models(features: float = 0.0):
    """The network of both models, and their parameters."""
    cfg = dataclasses.replace(BASE, features=features)
    student, teacher = decoder.net(cfg.model), decoder.net(cfg.teacher.model)
    net = distillation.distilled_net(student, teacher, cfg)
    return net, *net.init(KEY)


@functools.cache
def logits():
    """Float64 log-probabilities of the teacher and of the student."""
    _, params, teacher = models()
    of = lambda params, model: decoder.apply(params, jnp.asarray(ROWS[:, :-1]), model)
    both = of(teacher, BASE.teacher.model), of(params["student"], BASE.model)
    return [log_softmax(np.asarray(x, np.float64), -1) for x in both]


def loss(cfg, is_text, rows=ROWS):
    net, params, teacher = models()
    step = functools.partial(distillation.loss_fn, net=net, cfg=cfg)
    value, (_, metrics) = jax.jit(step)(params, teacher, (rows, np.float32(is_text)), KEY)
    return float(value), float(metrics["divergence"])


@pytest.mark.parametrize("kind, temperature", [("forward", 1.0), ("reverse", 2.0)])
def test_the_loss_mixes_the_divergence_and_the_next_token(kind, temperature):
    cfg = dataclasses.replace(BASE, divergence=kind, temperature=temperature, hard=0.3)
    p, q = (np.exp(log_softmax(x / temperature, -1)) for x in logits())
    gap = np.sum(rel_entr(*((p, q) if kind == "forward" else (q, p))), -1) * temperature**2
    next_token = -np.take_along_axis(logits()[1], ROWS[:, 1:, None], -1)[..., 0]
    is_text = np.array([1, 0, 1, 1])
    expected = np.mean(np.where(is_text[:, None], 0.7 * gap + 0.3 * next_token, gap))
    value, divergence = loss(cfg, is_text)
    np.testing.assert_allclose(divergence, gap.mean(), **LAYER)
    np.testing.assert_allclose(value, expected, **LAYER)


def test_the_mixture_lies_between_both_models():
    p, q = map(np.exp, logits())
    m = 0.25 * p + 0.75 * q
    expected = np.sum(0.25 * rel_entr(p, m) + 0.75 * rel_entr(q, m), -1).mean()
    cfg = dataclasses.replace(BASE, divergence="jensen_shannon", beta=0.25)
    np.testing.assert_allclose(loss(cfg, np.ones(4))[1], expected, **LAYER)


def test_hidden_states_are_compared_by_their_angle():
    net, params, teacher = models(0.1)
    both, _ = net.apply(params, teacher, jnp.asarray(ROWS[:, :-1]), key=KEY, train=True)
    ours = np.asarray(both.student.x) @ np.asarray(params["features"])
    theirs = np.asarray(both.teacher.x)
    cosine = np.sum(ours * theirs, -1) / np.linalg.norm(ours, axis=-1)
    cosine /= np.linalg.norm(theirs, axis=-1)
    np.testing.assert_allclose(both.feature_distance, 1 - cosine, **LAYER)


def test_the_student_continues_the_first_tokens_of_the_text():
    _, params, _ = models()
    cfg = dataclasses.replace(BASE, prompt=5)
    write = jax.jit(functools.partial(distillation.own_text, cfg=cfg))
    own = np.asarray(write(params, ROWS, KEY))
    assert own.shape == ROWS.shape and own.max() < cfg.model.vocab
    np.testing.assert_array_equal(own[:, :5], ROWS[:, :5])
    assert (own[:, 5:] != ROWS[:, 5:]).mean() > 0.9
    # a token that the student finds impossible is never written
    silent = params["student"] | {"embed": params["student"]["embed"].at[100:].set(-1e3)}
    sure = np.asarray(write({"student": silent}, ROWS % 100, KEY))
    assert sure.shape == own.shape


def test_steps_on_own_text_ignore_the_next_token():
    cfg = dataclasses.replace(BASE, hard=1.0)
    assert loss(cfg, np.zeros(4))[0] == pytest.approx(loss(cfg, np.zeros(4))[1])
    other = np.where(np.arange(17) == 16, 3, ROWS).astype(np.int32)  # only the last label differs
    assert loss(cfg, np.zeros(4), other) == loss(cfg, np.zeros(4))
    assert loss(cfg, np.ones(4), other) != loss(cfg, np.ones(4))


def test_both_models_read_the_same_tokens():
    with pytest.raises(UserError, match="teacher.model.vocab 512 must be model.vocab 300"):
        dataclasses.replace(BASE, model=dataclasses.replace(BASE.model, vocab=300))
    with pytest.raises(UserError, match="prompt at most context 16, got 20"):
        dataclasses.replace(BASE, prompt=20)
    assert distillation.implied(BASE) == {"model.vocab": 257, "teacher.model.vocab": 257}


def test_the_teacher_may_be_a_hugging_face_folder(tmp_path):
    model = Model(vocab=300, d_model=16, n_layers=2, n_heads=2, n_kv_heads=1, d_ff=8)
    pairs = tokenizer.BytePairs.train(["one two one three " * 50], 300)
    params = core_spec.init(decoder.spec(model), jax.random.key(5))
    huggingface.save(tmp_path, params, model, pairs, 8)
    cfg = distillation.started_from(BASE, tmp_path)
    assert cfg.teacher.model == model and cfg.model.vocab == 300 and cfg.model.d_model == 16
    system = distillation.system(cfg)
    abstract = jax.eval_shape(system.init_state, KEY)
    loaded = system.pretrained(placement(system, abstract, make_mesh("")).state)
    chex.assert_trees_all_equal(loaded, {"extra": params})
    assert "tokenizer.json" in system.files() and system.batches(0).max() < 300
