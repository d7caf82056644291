import numpy as np
import pytest
from scipy import stats

from panorax.maths.inference.linear_regression import posterior


def test_posterior_and_evidence_satisfy_bayes_rule():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 2)), rng.normal(size=6)
    mean, precision, evidence = posterior(x, y, 0.5, 2.0)
    for w in rng.normal(size=(3, 2)):
        joint = stats.norm.logpdf(y, x @ w, 0.5).sum() + stats.norm.logpdf(w, 0, 2).sum()
        log_posterior = stats.multivariate_normal(mean, np.linalg.inv(precision)).logpdf(w)
        assert evidence == pytest.approx(joint - log_posterior, abs=1e-9)
