"""Returns that a conditioned policy reaches beside those that it was asked for, over seeds."""

from collections.abc import Sequence

import numpy as np

from panorax.core import figures
from panorax.core.state import Result
from panorax.core.study import family
from panorax.rl.offline.dataset import Dataset, episode_returns
from panorax.rl.offline.report import draw_returns
from panorax.rl.seeds import standard_error


def rank_correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's rank correlation of two lists without ties: Pearson's of their ranks."""
    ranks = [np.argsort(np.argsort(values)) for values in (x, y)]
    return float(np.corrcoef(*ranks)[0, 1])


def compared(
    targets: Sequence[float], reached_ST: np.ndarray, cloned: dict[str, np.ndarray], data: Dataset
) -> Result:
    """How returns follow the targets, and the return for the highest target beside cloning.

    reached_ST: mean returns of each seed for each target.
    cloned: mean returns (S,) of other policies on the same data, by name.

    Metrics: `rank_correlation`, of the targets and the returns of a seed, as the mean over seeds,
    its standard error and its minimum; `return_slope`, the least-squares slope of returns over
    targets, 1 if every target is met; `<method>_return` with its standard error;
    `dt_above_<method>`, the smallest difference of a seed, and `mean_dt_above_<method>`;
    `data_return` and `best_data_return`, the mean and the highest return of the data.
    """
    correlation_S = np.array([rank_correlation(np.array(targets), x_T) for x_T in reached_ST])
    slope_S = np.polyfit(targets, reached_ST.T, 1)[0]
    returns = {"dt": reached_ST[:, -1], **cloned}
    above = {name: returns["dt"] - x_S for name, x_S in cloned.items()}
    data_returns = episode_returns(data)
    metrics = {
        "mean_rank_correlation": correlation_S.mean(),
        "rank_correlation_error": standard_error(correlation_S),
        "min_rank_correlation": correlation_S.min(),
        "return_slope": slope_S.mean(),
        "return_slope_error": standard_error(slope_S),
        "data_return": data_returns.mean(),
        "best_data_return": data_returns.max(),
    }
    metrics |= family("{}_return", {name: x_S.mean() for name, x_S in returns.items()})
    metrics |= family("{}_return_error", {name: standard_error(x) for name, x in returns.items()})
    metrics |= family("dt_above_{}", {name: x_S.min() for name, x_S in above.items()})
    metrics |= family("mean_dt_above_{}", {name: x_S.mean() for name, x_S in above.items()})
    figure = draw_conditioning(targets, reached_ST, returns, data_returns)
    return Result({name: float(x) for name, x in metrics.items()}, {"conditioning.png": figure})


def draw_conditioning(targets, reached_ST: np.ndarray, returns: dict, data_returns: np.ndarray):
    """Returns over targets, a line for each seed and their mean; returns of all methods."""
    figure, (ax, method_ax) = figures.panels(2)
    ax.plot(targets, reached_ST.T, color="grey", lw=0.6)
    ax.plot(targets, reached_ST.mean(0), lw=2, label=f"mean of {len(reached_ST)} seeds")
    ax.plot(targets, targets, ":", color="black", label="as asked")
    ax.set(xlabel="return asked for", ylabel="mean return of episodes")
    draw_returns(method_ax, returns, data_returns.mean())
    return figures.legends(figure)
