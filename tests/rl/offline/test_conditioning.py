import numpy as np
import pytest
from scipy.stats import spearmanr

from panorax.rl.offline.conditioning import compared, rank_correlation
from panorax.testing.tolerances import DOUBLE

DATA = {
    "reward": np.float32([1, 2, 3, 4]),
    "terminated": np.array([False, True, False, False]),
    "truncated": np.array([False, False, True, False]),
}


@pytest.mark.parametrize("seed", range(3))
def test_rank_correlation_is_scipys(seed):
    x, y = np.random.default_rng(seed).normal(size=(2, 9))
    np.testing.assert_allclose(rank_correlation(x, y), spearmanr(x, y).statistic, **DOUBLE)


def test_metrics_of_two_seeds():
    reached = np.array([[0.0, 2.0, 4.0], [1.0, 0.0, 3.0]])
    cloned = {"bc": np.array([1.0, 3.0]), "best_bc": np.array([5.0, 2.0])}
    metrics = compared((0, 1, 2), reached, cloned, DATA).metrics
    expected = {
        "mean_rank_correlation": 0.75,
        "rank_correlation_error": 0.25,
        "min_rank_correlation": 0.5,
        "return_slope": 1.5,
        "dt_return": 3.5,
        "dt_return_error": 0.5,
        "bc_return": 2,
        "dt_above_bc": 0,
        "mean_dt_above_bc": 1.5,
        "dt_above_best_bc": -1,
        "data_return": 3,
        "best_data_return": 3,
    }
    measured = {name: metrics[name] for name in expected}
    np.testing.assert_allclose([*measured.values()], [*expected.values()], **DOUBLE)
