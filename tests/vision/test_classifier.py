import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from panorax.configs.vision import classifier as config
from sklearn.neighbors import KNeighborsClassifier

from panorax.core.ranges import ConfigError
from panorax.data import datasets, images
from panorax.nets.convolutional import convnet, resnet
from panorax.testing.tolerances import LAYER, NUMBER, SAME
from panorax.vision import classifier, report

DIFFERENT = {"rtol": 1e-3}
"""losses that differ by more are not the same"""

KEY = jax.random.key(0)
SMOKE = config.smoke()
CFG = dataclasses.replace(SMOKE, net=resnet.Config(widths=(4,), blocks=(1,), stochastic_depth=0.9))
SYSTEM = classifier.system(CFG)
STATE = jax.jit(SYSTEM.init_state)(KEY)
BATCH = SYSTEM.batches(0)
NET = resnet.net(CFG.net, (8, 8, 1), 10)
step, evaluate = jax.jit(SYSTEM.train_step), jax.jit(SYSTEM.evaluate)
IMAGES = np.random.default_rng(0).uniform(-1, 1, (64, 5, 4, 2)).astype(np.float32)


def test_a_step_updates_the_running_averages_and_evaluation_uses_them():
    after, metrics = step(STATE, BATCH, KEY)
    equal = jax.tree.map(np.array_equal, after.extra, STATE.extra)
    assert not any(jax.tree.leaves(equal)) and 0 <= metrics["accuracy"] <= 1
    rows = BATCH | {"weight": np.ones(8, np.float32)}
    fresh, _ = evaluate(STATE.replace(params=after.params), rows, KEY)["eval_loss"]
    carried, _ = evaluate(after, rows, KEY)["eval_loss"]
    assert not np.allclose(fresh, carried, **DIFFERENT)


def test_evaluation_treats_rows_independently_and_ignores_padding():
    rows = next(iter(SYSTEM.held_out()))
    weight = np.array([1, 1, 1, 0, 0, 0, 0, 0], np.float32)
    noise = np.concatenate([rows["x"][:3], 5 * rows["x"][3:]])
    apply = jax.jit(lambda x: NET.apply(STATE.params, STATE.extra, x)[0])
    logits, label = apply(rows["x"])[:3], rows["label"][:3]
    nats = -jax.nn.log_softmax(logits)[np.arange(3), label]
    correct = np.argmax(logits, -1) == label
    for x in (rows["x"], noise):
        padding = np.argmax(apply(x)[3:], -1).astype(np.int32)  # correct predictions
        batch = {"x": x, "label": np.concatenate([label, padding]), "weight": weight}
        metrics = evaluate(STATE, batch, jax.random.key(7))
        np.testing.assert_allclose(metrics["eval_loss"], (nats.sum(), 3), **NUMBER)
        np.testing.assert_array_equal(metrics["eval_accuracy"], (correct.sum(), 3))


def test_each_micro_batch_updates_the_state_of_the_previous_one():
    plain = dataclasses.replace(CFG.net, stochastic_depth=0.0)
    cfg = dataclasses.replace(CFG, net=plain, shift=0, flip=False, accumulate=2)
    after, _ = jax.jit(classifier.system(cfg).train_step)(STATE, BATCH, KEY)
    extra, apply = STATE.extra, jax.jit(resnet.apply, static_argnames=("cfg", "train"))
    for half in (BATCH["x"][:4], BATCH["x"][4:]):
        _, extra = apply(STATE.params, extra, half, cfg=plain, train=True)
    chex.assert_trees_all_close(after.extra, extra, **NUMBER)


def test_the_key_of_a_step_reaches_the_network():
    cfg = dataclasses.replace(CFG, shift=0, flip=False)
    batch = jax.tree.map(jnp.asarray, BATCH)
    run = lambda key: classifier.loss_fn(STATE.params, STATE.extra, batch, key, NET, cfg)[0]
    loss = jax.jit(run)
    assert loss(KEY) == loss(KEY) and loss(KEY) != loss(jax.random.key(1))


def test_a_network_without_state_trains_in_the_same_step():
    optim = dataclasses.replace(CFG.optim, peak_lr=0.01)
    system = classifier.system(dataclasses.replace(CFG, net=convnet.Config((4, 8)), optim=optim))
    state, train = jax.jit(system.init_state)(KEY), jax.jit(system.train_step)
    losses = []
    for i in range(60):
        state, metrics = train(state, system.batches(i % 2), jax.random.fold_in(KEY, i))
        losses.append(float(metrics["loss"]))
    assert state.extra == () and np.mean(losses[-10:]) < 0.9 * np.mean(losses[:10])


def test_flip_mirrors_about_half_of_the_images():
    cfg = dataclasses.replace(CFG, shift=0)
    augmented = np.asarray(classifier.augmented(KEY, IMAGES, cfg))
    mirrored = (augmented == IMAGES[:, :, ::-1]).all((1, 2, 3))
    assert np.array_equal(augmented[~mirrored], IMAGES[~mirrored]) and 16 < mirrored.sum() < 48
    off = dataclasses.replace(cfg, flip=False)
    np.testing.assert_array_equal(classifier.augmented(KEY, IMAGES, off), IMAGES)


def test_pixels_are_standardised_on_the_scale_from_0_to_1():
    data = images.Config(channels=2)
    cfg = dataclasses.replace(CFG, data=data, mean=(0.4, 0.6), deviation=(0.2, 0.1))
    expected = ((IMAGES + 1) / 2 - [0.4, 0.6]) / [0.2, 0.1]
    np.testing.assert_allclose(classifier.standardised(IMAGES, cfg), expected, **LAYER)
    np.testing.assert_allclose(classifier.standardised(IMAGES, CFG), IMAGES, **SAME)


def perfect(x):
    """One-hot logits of the labels of held-out digits, which are identified by their pixels."""
    split = datasets.digit_vectors()
    match = (x.reshape(len(x), 1, 64) == split.x_held[None]).all(-1)
    return np.eye(10)[split.label_held[match.argmax(1)]] * match.any(1)[:, None]


def test_the_report_of_perfect_logits_and_of_logits_without_a_class():
    source = images.source(images.Config())
    result = report.held_out_report(perfect, source, dataclasses.replace(CFG, neighbors=0))
    assert result.metrics == {"worst_class_accuracy": 1.0, "flip_averaged_accuracy": 1.0}
    without_3 = lambda x: perfect(x) * (np.arange(10) != 3)
    plain = dataclasses.replace(CFG, neighbors=0, flip=False)
    assert report.held_out_report(without_3, source, plain).metrics == {"worst_class_accuracy": 0.0}


def test_nearest_neighbor_accuracy_equals_scikit_learns(monkeypatch):
    monkeypatch.setattr(report, "BLOCK", 500)
    x, label, x_held, label_held = datasets.digit_vectors()
    expected = KNeighborsClassifier(1).fit(x, label).score(x_held, label_held)
    assert report.nearest_neighbor_accuracy(images.Config(), 1000) == pytest.approx(expected)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"accumulate": 3}, "accumulate 3 must divide batch 128"),
        ({"shift": 8, "border": "reflect"}, "shift 8 must be below the size 8 of reflected images"),
        ({"mean": (0.5, 0.5)}, "mean must have 1 or 1 numbers, got"),
        ({"deviation": (0.0,)}, "deviation must be above 0"),
    ],
)
def test_an_inconsistent_config_is_rejected(fields, message):
    with pytest.raises(ConfigError, match=message):
        classifier.Config(**fields)
