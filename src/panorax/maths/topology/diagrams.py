"""Statistics of persistence diagrams: Betti numbers, total persistence, bottleneck distance.

A diagram is an array (n, 2) with a row (birth, death) per bar.

    Betti number at t     #{bars: birth <= t < death}
    total persistence     sum (death - birth)^p over finite bars
    bottleneck            min over matchings of max |x - y|_inf; matching a point with the diagonal
                          costs (death - birth) / 2

Stability: if two filtrations differ by at most e on every simplex, the bottleneck distance of their
diagrams is at most e (Cohen-Steiner, Edelsbrunner & Harer 2007). Vietoris-Rips values are longest
edges, so e = max |d - d'| for two metrics on the same points, and e <= 2 r if no point moves by
more than r. For clouds of any sizes the distance is at most 2 d_GH <= 2 d_H, with the
Gromov-Hausdorff and Hausdorff distances (Chazal, de Silva & Oudot 2014, theorem 5.2).
"""

import numpy as np


def checked(diagram: np.ndarray) -> np.ndarray:
    """The diagram in float64.

    Raises ValueError for a shape other than (n, 2), births that are not finite, and deaths that are
    NaN or before their birth.
    """
    diagram = np.asarray(diagram, np.float64)
    if diagram.ndim != 2 or diagram.shape[1] != 2:
        raise ValueError(f"a diagram must have shape (n, 2), got {diagram.shape}")
    if not (diagram[:, 0] <= diagram[:, 1]).all() or not np.isfinite(diagram[:, 0]).all():
        raise ValueError("births must be finite and no death before its birth")
    return diagram


def betti(diagram: np.ndarray, scale: float) -> int:
    """Number of bars alive at the scale."""
    birth, death = checked(diagram).T
    return int(((birth <= scale) & (scale < death)).sum())


def lengths(diagram: np.ndarray) -> np.ndarray:
    """Lengths of all bars, longest first, including infinite ones."""
    birth, death = checked(diagram).T
    return np.sort(death - birth)[::-1]


def total_persistence(diagram: np.ndarray, p: float = 1.0) -> float:
    """sum (death - birth)^p over finite bars."""
    length = lengths(diagram)
    return float((length[np.isfinite(length)] ** p).sum())


def largest_ratio(diagram: np.ndarray) -> float:
    """max death / birth over finite bars with a positive birth, 1 if there are none.

    The ratio detects cycles of the shape at any scale; for noise it stays near 1 (Bobrowski, Kahle
    & Skraba 2017).
    """
    birth, death = checked(diagram).T
    finite = (birth > 0) & np.isfinite(death)
    return float((death[finite] / birth[finite]).max(initial=1.0))


def lasting(diagrams: list[np.ndarray]) -> tuple[tuple[int, ...], float, float]:
    """The most persistent Betti numbers (H0, H1, ...), and the ends of their interval of scales.

    Intervals are compared by the ratio of their ends, between the first and the last birth or death
    at a positive finite scale. Raises ValueError if there are fewer than two such scales.
    """
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

    distance_NM = cdist(x_ND, y_MD)
    return float(max(distance_NM.min(1).max(), distance_NM.min(0).max()))


def bottleneck(diagram_1: np.ndarray, diagram_2: np.ndarray) -> float:
    """Exact bottleneck distance; infinite if the diagrams have different numbers of infinite bars.

    The distance is the smallest cost for which a matching exists, found by bisection over all
    costs. At cost t, all points whose cost to the diagonal exceeds t must be matched. A matching
    that covers these points of the first diagram and one that covers these points of the second
    combine into one that covers both (Mendelsohn & Dulmage 1958). Each step of the bisection
    therefore solves two bipartite matchings. Raises the errors of `checked`.
    """
    pair = [checked(diagram) for diagram in (diagram_1, diagram_2)]
    infinite = [np.sort(d[np.isinf(d[:, 1]), 0]) for d in pair]
    if len(infinite[0]) != len(infinite[1]):
        return np.inf
    a, b = (d[np.isfinite(d[:, 1])] for d in pair)
    cost = np.abs(a[:, None] - b[None]).max(-1)
    to_diagonal = [(d[:, 1] - d[:, 0]) / 2 for d in (a, b)]
    costs = np.unique(np.concatenate([[0.0], cost.ravel(), *to_diagonal]))
    low, high = 0, len(costs) - 1  # at the largest cost every point may go to the diagonal
    while low < high:
        middle = (low + high) // 2
        t = costs[middle]
        allowed = cost <= t
        if _matches(allowed[to_diagonal[0] > t]) and _matches(allowed.T[to_diagonal[1] > t]):
            high = middle
        else:
            low = middle + 1
    return float(max(costs[low], np.abs(infinite[0] - infinite[1]).max(initial=0.0)))


def _matches(allowed: np.ndarray) -> bool:
    """True if all rows can be matched with distinct allowed columns (Hopcroft & Karp 1973)."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import maximum_bipartite_matching

    if not len(allowed) or not allowed.any(1).all():
        return not len(allowed)
    return bool((maximum_bipartite_matching(csr_matrix(allowed), perm_type="column") >= 0).all())
