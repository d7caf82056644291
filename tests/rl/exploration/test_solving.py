"""Episodes until solved, and the fitted exponent, on made-up training."""

import jax
import numpy as np
import pytest

from panorax.rl.exploration import solving


def test_a_seed_is_solved_at_the_first_return_above_the_threshold():
    returns = np.array([[0.0, 0.9, 0.5], [0.0, 0.0, 0.99], [0.0, 0.8, 0.8]])
    episodes = solving.solved_after(returns, np.array([16, 32, 48]))
    np.testing.assert_array_equal(episodes, [32, 48, np.inf])


def test_the_shares_of_solved_seeds_and_the_exponent():
    bonus = {4: np.array([10.0, 20.0, 30.0]), 8: np.array([80.0, 160.0, np.inf])}
    bonus[16] = np.array([99.0, np.inf, np.inf])  # most seeds do not solve it: no median
    without = {4: np.array([np.inf, 5.0, np.inf]), 8: np.full(3, np.inf), 16: np.full(3, np.inf)}
    assert solving.solving_metrics(bonus, without) == {
        "solved_at_size_4": 1.0,
        "solved_at_size_8": pytest.approx(2 / 3),
        "solved_at_size_16": pytest.approx(1 / 3),
        "solved_without_bonus_at_size_4": pytest.approx(1 / 3),
        "solved_without_bonus_at_size_8": 0.0,
        "solved_without_bonus_at_size_16": 0.0,
        "median_episodes_at_size_4": 20.0,
        "median_episodes_at_size_8": 160.0,
        "exponent": pytest.approx(3.0),
    }
    without_medians = solving.solving_metrics({4: bonus[4], 16: bonus[16]}, without)
    assert "exponent" not in without_medians  # a single size: its claim is not measured
    [ax] = solving.draw_episodes(bonus, without, 200.0).axes
    heights = np.concatenate([line.get_ydata() for line in ax.lines[:2]])
    assert sorted(heights)[-1] == 200 and len(heights) == 18


def test_both_variants_train_on_the_same_keys_and_the_figures_show_the_largest_size():
    calls = []

    def train(key, size, with_bonus):
        calls.append((size, with_bonus, tuple(jax.random.key_data(key).tolist())))
        return np.array([[0.0, 0.9 if with_bonus else 0.0]]), np.array([size, 2 * size])

    result = solving.report(train, (3, 6), jax.random.key(0))
    assert [call[2] for call in calls[:2]] == [call[2] for call in calls[2:]]
    assert [call[:2] for call in calls] == [(3, True), (6, True), (3, False), (6, False)]
    assert result.metrics["exponent"] == pytest.approx(1.0)
    assert result.metrics["episodes_per_seed"] == 12
    titles = [ax.get_title() for ax in result.figures["returns.png"].axes]
    assert titles == ["with the bonus, size 6", "without the bonus, size 6"]
