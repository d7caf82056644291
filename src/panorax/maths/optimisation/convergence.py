"""The speed at which a sequence converges."""

import numpy as np


def order(errors: np.ndarray) -> float:
    """Largest order of convergence log(e_{k+1} / e_k) / log(e_k / e_{k-1}) along falling errors.

    1 means that a step multiplies the error by a factor (linear), 2 that it squares the error
    (quadratic). NaN for fewer than three errors.
    Source: Nocedal & Wright, Numerical Optimization, appendix A.2.
    """
    falls = np.log(errors[1:] / errors[:-1])
    return float(max(falls[1:] / falls[:-1])) if len(falls) > 1 else float("nan")
