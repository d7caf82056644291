"""Measures of samples, by a judge that classifies an image by its first pixel."""

import itertools

import chex
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.data import judges
from panorax.data.judges import Judge
from panorax.testing.tolerances import NUMBER

NOISE = {"atol": 0.03}
"""sampling error of the moments of 20,000 draws"""

CLASSES = 3
RNG = np.random.default_rng(0)


def images(n):
    """n images of each class with two pixels: twice the class, and noise."""
    label = np.repeat(np.arange(CLASSES), n)
    x = np.stack([2.0 * label, RNG.normal(size=len(label))], 1).astype(np.float32)
    return {"x": x.reshape(-1, 2, 1, 1), "label": label}


def classify(x):
    """Logits peak at the class nearest to half the first pixel; the features are the pixels."""
    rows = jnp.asarray(x).reshape(len(x), -1)
    return -jnp.square(rows[:, :1] / 2 - jnp.arange(CLASSES)[None]), rows


JUDGE = Judge(classify, images(200), images(50))


def test_real_images_have_full_variety():
    classes, diversity, coverage = judges.variety(JUDGE, **JUDGE.train)
    assert classes == CLASSES and diversity == 1 and coverage > 0.97
    quality = judges.quality(JUDGE, **JUDGE.train)
    assert quality.accuracy == 1 and quality.frechet < 0.2
    assert judges.real_quality(JUDGE) == {"judge_accuracy": 1, "frechet_floor": quality.frechet}


def test_a_missing_class_lowers_accuracy_and_the_number_of_classes():
    real = JUDGE.train
    x = np.where((real["label"] == 2)[:, None, None, None], real["x"] - [[[2]], [[0]]], real["x"])
    assert judges.variety(JUDGE, x, real["label"]).classes == CLASSES - 1
    accuracy = judges.quality(JUDGE, x, real["label"]).accuracy
    np.testing.assert_allclose(accuracy, 2 / 3, **NUMBER)


def test_a_class_counts_with_at_least_half_of_its_share():
    label = JUDGE.train["label"]
    for wrong, classes in ((100, CLASSES), (101, CLASSES - 1)):
        x = JUDGE.train["x"].copy()
        x[:wrong, 0] = 2.0  # images of class 0 that the judge assigns to class 1
        assert judges.variety(JUDGE, x, label).classes == classes


def test_diversity_is_the_minimum_over_classes():
    real = JUDGE.train
    x = real["x"].copy()
    x[real["label"] == 1, 1] *= 0.25
    np.testing.assert_allclose(judges.variety(JUDGE, x, real["label"]).diversity, 0.25, **NUMBER)


def test_diversity_is_a_mean_over_pairs_of_different_images():
    few = images(3)
    rows = few["x"].reshape(CLASSES, 3, 2)
    apart = lambda a: np.mean([np.linalg.norm(p - q) for p, q in itertools.combinations(a, 2)])
    real = JUDGE.train["x"].reshape(CLASSES, 200, 2)
    expected = min(apart(a) / apart(b) for a, b in zip(rows, real))
    np.testing.assert_allclose(judges.variety(JUDGE, **few).diversity, expected, **NUMBER)


@pytest.mark.parametrize("n", [1, 4])
def test_few_images_have_full_accuracy_and_little_coverage(n):
    label = JUDGE.train["label"]
    x = judges.few_images(JUDGE, label, n, 0)
    assert judges.quality(JUDGE, x, label).accuracy == 1
    for c in range(CLASSES):
        assert len(np.unique(x[label == c].reshape(-1, 2), axis=0)) == n
    variety = judges.variety(JUDGE, x, label)
    assert variety.coverage < 0.7 and (n > 1 or variety.diversity < 1e-3)


def test_class_gaussians_have_the_moments_of_their_class():
    label = np.repeat(np.arange(CLASSES), 20_000)
    x = judges.class_gaussians(JUDGE, label, 0).reshape(-1, 2)
    for c in range(CLASSES):
        real = JUDGE.train["x"][JUDGE.train["label"] == c].reshape(-1, 2)
        drawn = x[label == c]
        np.testing.assert_allclose(drawn.mean(0), real.mean(0), **NOISE)
        np.testing.assert_allclose(np.cov(drawn.T), np.cov(real.T), **NOISE)


def test_copies_have_distance_zero_to_training_images():
    distance = judges.nearest(JUDGE, JUDGE.train["x"][:30])
    assert distance["sample_to_train"] < 1e-3 < distance["held_out_to_train"]


def test_a_figure_has_ten_images_of_each_class():
    shown = judges.by_class(**images(4), classes=CLASSES)
    chex.assert_shape(shown, (CLASSES, 10, 2, 1, 1))
    assert (shown[2, :, 0] == 4).all()


def test_grey_and_colour_images_are_drawn():
    x, label = images(4).values()
    sets = {"grey": (x, label), "colour": (np.repeat(x, 3, -1), label)}
    figure = judges.draw_images(sets, CLASSES)
    assert [ax.images[0].get_array().ndim for ax in figure.axes[:2]] == [2, 3]
