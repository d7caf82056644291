import jax
import numpy as np
import pytest

from panorax.core.errors import UserError
from panorax.maths import random_fields
from panorax.theory.saddle_points import study as saddle_points


def test_shares_and_energies_are_those_of_weighted_columns():
    matrices, cfg_of = (
        random_fields.goe(jax.random.key(0), 3000, 4),
        lambda n: saddle_points.Config(searched=2, counted=3, samples=n),
    )
    least, error, every, energy = saddle_points.shares(matrices, cfg_of(3000))
    for d, exact in random_fields.MINIMA.items():
        assert abs(least[d - 1] - exact) < 4 * error[d - 1] and 0.001 < error[d - 1] < 0.02
        assert every[d - 1].sum() == pytest.approx(1) and every[d - 1][0] == least[d - 1]
        np.testing.assert_allclose(energy[d - 1], -energy[d - 1][::-1], atol=0.15)
        assert (np.diff(energy[d - 1]) > 0).all()
    for d in (1, 2, 3):  # the jackknife
        w = np.asarray(random_fields.kac_rice(matrices[:, : d + 1, : d + 1])[0], np.float64)
        without = (w[:, 0].sum() - w[:, 0]) / (w.sum() - w.sum(1))
        assert error[d - 1] == pytest.approx(without.std() * len(w) ** 0.5, rel=0.01)


def test_searched_fields_have_the_points_that_the_formula_counts():
    cfg = saddle_points.Config(searched=2, fields=60, starts=60, features=64)
    points, minima, value, index, naive = saddle_points.search(2, cfg, jax.random.key(1))
    expected = 6 * float(
        np.mean(random_fields.points_per_volume(random_fields.goe(jax.random.key(2), 20_000, 3)))
    )
    assert (
        len(points) == 60
        and points.sum() == len(value) == len(index)
        and minima.sum() == (index == 0).sum()
    )
    assert abs(points.mean() - expected) < 4 * points.std() / 60**0.5
    assert (
        value[index == 0].mean() < value[index == 1].mean() < value[index == 2].mean()
        and 0 < naive < 1
    )


def test_all_critical_points_of_the_factorisation_are_checked():
    with jax.enable_x64(True):
        metrics = saddle_points.factors(jax.random.key(0))
    assert (
        metrics["factors_points"] == 15
        and metrics["factors_wrong_index"] == 0
        and metrics["factors_not_strict"] == 1
    )
    assert metrics["factors_left_over_least"] == pytest.approx(1, abs=1e-4) and metrics[
        "factors_stayed_at"
    ] == 0.5 * (256 + 81 + 16 + 1)


@pytest.mark.parametrize(
    "bad",
    [
        {"searched": 1},
        {"counted": 2},
        {"searched": 30},
        {"curvatures": (1.0,)},
        {"curvatures": (0.0, 1.0)},
        {"dims": (3,)},
        {"chain": 1},
        {"goe": 10, "goe_batches": 1},
    ],
)
def test_bad_input_is_refused(bad):
    with pytest.raises(UserError):
        saddle_points.Config(**bad)
