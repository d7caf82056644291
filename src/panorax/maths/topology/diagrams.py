"""What is read off persistence diagrams, arrays (n, 2) of birth and death: Betti numbers, total persistence, and how far one is from another.

    Betti number at t     #{bars: birth <= t < death}
    total persistence     sum (death - birth)^p of the bars that end
    bottleneck            min over matchings of max |x - y|_inf, where a point may be matched with the diagonal, at the cost (death - birth) / 2

Stability: diagrams of filtrations whose values differ by at most e on every simplex have a bottleneck distance <= e (Cohen-Steiner, Edelsbrunner &
Harer 2007). With Vietoris-Rips values, the longest edges, that is <= max |d - d'| for two metrics on the same points: 2 e where no point moves by
more than e. For two clouds of any sizes it is <= 2 d_GH <= 2 d_H, the distances of Gromov-Hausdorff and Hausdorff (Chazal, de Silva & Oudot 2014,
theorem 5.2).
"""

import numpy as np


def checked(diagram: np.ndarray) -> np.ndarray:
    """The diagram in float64. Raises ValueError for another shape than (n, 2), NaN, and bars that end before they begin."""
    diagram = np.asarray(diagram, np.float64)
    if diagram.ndim != 2 or diagram.shape[1] != 2:
        raise ValueError(
            f"a diagram is an array (n, 2) of birth and death, got shape {diagram.shape}"
        )
    if not (diagram[:, 0] <= diagram[:, 1]).all() or not np.isfinite(diagram[:, 0]).all():
        raise ValueError("births must be finite numbers, and no death before its birth")
    return diagram


def betti(diagram: np.ndarray, scale: float) -> int:
    """The number of bars alive at the scale."""
    birth, death = checked(diagram).T
    return int(((birth <= scale) & (scale < death)).sum())


def lengths(diagram: np.ndarray) -> np.ndarray:
    """Lengths of the bars, longest first; infinite ones among them."""
    birth, death = checked(diagram).T
    return np.sort(death - birth)[::-1]


def total_persistence(diagram: np.ndarray, p: float = 1.0) -> float:
    """sum (death - birth)^p over the bars that end."""
    found = lengths(diagram)
    return float((found[np.isfinite(found)] ** p).sum())


def largest_ratio(diagram: np.ndarray) -> float:
    """max death / birth over the bars that end and were not born at 0, 1 if there is none: what marks a cycle of the shape whatever its size, where
    those of noise stay near 1 (Bobrowski, Kahle & Skraba 2017)."""
    birth, death = checked(diagram).T
    some = (birth > 0) & np.isfinite(death)
    return float((death[some] / birth[some]).max(initial=1.0))


def lasting(diagrams: list[np.ndarray]) -> tuple[tuple[int, ...], float, float]:
    """The Betti numbers (H0, H1, ...) that hold over the longest interval of scales, by the ratio of its ends, between the first birth or death
    after 0 and the last; and this interval. Raises ValueError where there are not two such scales."""
    diagrams = [checked(diagram) for diagram in diagrams]
    events = np.unique(np.concatenate([diagram.ravel() for diagram in diagrams]))
    events = events[(events > 0) & np.isfinite(events)]
    if len(events) < 2:
        raise ValueError("these diagrams change at fewer than two scales above 0")
    numbers = [tuple(betti(diagram, scale) for diagram in diagrams) for scale in events[:-1]]
    change = np.flatnonzero(
        [True, *(a != b for a, b in zip(numbers[1:], numbers[:-1], strict=True)), True]
    )
    starts, ends = events[change[:-1]], events[change[1:]]
    longest = int((ends / starts).argmax())
    return numbers[change[longest]], float(starts[longest]), float(ends[longest])


def hausdorff(x_ND: np.ndarray, y_MD: np.ndarray) -> float:
    """max(max_x min_y |x - y|, max_y min_x |x - y|) of two clouds."""
    from scipy.spatial.distance import cdist

    apart = cdist(x_ND, y_MD)
    return float(max(apart.min(1).max(), apart.min(0).max()))


def bottleneck(one: np.ndarray, other: np.ndarray) -> float:
    """The bottleneck distance, exactly: the smallest of all costs with which a matching exists, by bisection over the sorted costs; infinite where
    the diagrams differ in how many bars never end.

    A matching at cost t need not be perfect: all points whose own cost to the diagonal is above t must be met. One that meets those of one diagram
    and one that meets those of the other make one that meets both (Mendelsohn & Dulmage 1958), so two small bipartite matchings decide. Raises
    ValueError where `checked` does."""
    one, other = checked(one), checked(other)
    unending = [np.sort(d[np.isinf(d[:, 1]), 0]) for d in (one, other)]
    if len(unending[0]) != len(unending[1]):
        return np.inf
    a, b = (d[np.isfinite(d[:, 1])] for d in (one, other))
    apart = np.abs(a[:, None] - b[None]).max(-1)
    alone = [(d[:, 1] - d[:, 0]) / 2 for d in (a, b)]
    costs = np.unique(np.concatenate([[0.0], apart.ravel(), *alone]))
    low, high = 0, len(costs) - 1  # at the largest cost all may go to the diagonal
    while low < high:
        middle = (low + high) // 2
        t = costs[middle]
        if _all_met((apart <= t)[alone[0] > t]) and _all_met((apart <= t).T[alone[1] > t]):
            high = middle
        else:
            low = middle + 1
    return float(max(costs[low], np.abs(unending[0] - unending[1]).max(initial=0.0)))


def _all_met(allowed: np.ndarray) -> bool:
    """Whether each row can have an allowed column of its own (Hopcroft & Karp 1973)."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import maximum_bipartite_matching

    if not len(allowed) or not allowed.any(1).all():
        return not len(allowed)
    return bool((maximum_bipartite_matching(csr_matrix(allowed), perm_type="column") >= 0).all())
