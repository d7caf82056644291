"""Persistent homology over Z/2 of the Vietoris-Rips filtration: diagrams of H0, H1 and H2.

The complex at scale t contains every set of points with all distances <= t; a simplex enters at its
longest edge. Edges are ranked by length, ties in any order. A triangle is (r, v), its longest edge
r and the third vertex v; a tetrahedron is (r, v, w) with v > w. All simplices are ordered by these
tuples, and the faces of a simplex precede it. Ripser (Bauer 2021, arXiv:1908.02518) reduces the
coboundaries d s of the simplices s, the last s first. The pivot of a column is its earliest
simplex. While the column of a later s has the same pivot, it is added. The reduction pairs s, a
birth, with the pivot of its reduced column, a death.

Three facts keep the work small.

(1) Clearing: a simplex that is a death needs no column.

(2) Apparent pairs: if s is the latest facet of its earliest coface, the two are a pair of length 0.
An edge ab is in such a pair if and only if its lune {c: ac and bc before ab} is not empty; its
partner is (ab, c) with the smallest such c. The remaining edges form the relative neighbourhood
graph (Toussaint 1980), of about N edges. It contains the minimum spanning tree, whose edges are the
deaths of H0 and are cleared.

(3) Columns are never stored. V, the sum of the simplices added so far, is a boolean tensor. The
entries of d V whose latest facet is f = (f0 .. fk), with longest edge f0 f1, form a line over the
vertices w,

    (d V)(f + w) = V[f] + sum_i V[f - fi + w]  mod 2,
    w in the lune of f:  all edges w fi before f0 f1, and w < fk if k > 1.

Only lines whose f is the latest facet of a coface of an added simplex are evaluated. If the first
entry is the first vertex of the lune, the column to add is f itself.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

BLOCK, SPAN = 8, 4096
"""number of facets evaluated together, and the range of keys that contains them"""


@dataclass(frozen=True)
class Filtration:
    """The E edges of N points in ascending order of length."""

    rank: np.ndarray
    """rank of the edge between two points, E if there is none; (N, N)"""
    ends: np.ndarray
    """end points of each edge; (2, E)"""
    length: np.ndarray
    """length of each edge; (E,)"""


def distances(x_ND: np.ndarray) -> np.ndarray:
    """Euclidean distances (N, N) of points, in float64.

    Raises ValueError for a shape other than (N, D), no points, or values that are not finite.
    """
    from scipy.spatial.distance import pdist, squareform

    x_ND = np.asarray(x_ND, np.float64)
    if x_ND.ndim != 2 or 0 in x_ND.shape:
        raise ValueError(f"points must have shape (N, D) with N and D at least 1, got {x_ND.shape}")
    if not np.isfinite(x_ND).all():
        raise ValueError("points must be finite numbers")
    return squareform(pdist(x_ND)) if len(x_ND) > 1 else np.zeros((1, 1))


def enclosing_radius(distance_NN: np.ndarray) -> float:
    """min_i max_j d(i, j). From this scale on the complex is a cone, with one component only."""
    return float(np.max(distance_NN, axis=1).min())


def filtration(distance_NN: np.ndarray, threshold: float | None = None) -> Filtration:
    """Edges of length at most `threshold`, by default the enclosing radius.

    An infinite distance is no edge. The triangle inequality is not required. Raises ValueError
    unless the distances are a symmetric matrix of numbers >= 0 with a zero diagonal.
    """
    distance_NN = np.asarray(distance_NN, np.float64)
    shape = distance_NN.shape
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] == 0:
        raise ValueError(
            f"distances must be a square matrix of at least one point, got shape {shape}"
        )
    if np.isnan(distance_NN).any() or (distance_NN < 0).any() or np.diagonal(distance_NN).any():
        raise ValueError("distances must be numbers >= 0, and 0 on the diagonal")
    if not np.allclose(distance_NN, distance_NN.T, rtol=1e-6, atol=0):
        raise ValueError("the matrix of distances must be symmetric")
    threshold = enclosing_radius(distance_NN) if threshold is None else threshold
    if np.isnan(threshold):
        raise ValueError("the threshold must be a number")
    ends = np.stack(np.triu_indices(len(distance_NN), 1))
    length = distance_NN[tuple(ends)]
    ends = ends[:, (length <= threshold) & np.isfinite(length)]
    length = distance_NN[tuple(ends)]
    order = np.argsort(length, kind="stable")
    rank = np.full(distance_NN.shape, len(order), np.int32)
    ends = ends[:, order]
    rank[ends[0], ends[1]] = rank[ends[1], ends[0]] = np.arange(len(order))
    return Filtration(rank, ends, length[order])


def spanning_forest(edges: Filtration) -> np.ndarray:
    """Ranks of the edges of the minimum spanning forest, ascending (Prim 1957)."""
    none = len(edges.length)
    outside = np.ones(len(edges.rank), bool)
    nearest, tree = np.full(len(edges.rank), none), []
    for _ in outside:
        new = int(np.where(outside, nearest, none + 1).argmin())
        tree.append(int(nearest[new]))
        outside[new] = False
        nearest = np.minimum(nearest, edges.rank[new])
    return np.array(sorted(rank for rank in tree if rank < none), int)


def neighbourhood_graph(edges: Filtration, near: int = 16, block: int = 4096) -> np.ndarray:
    """Ranks of the edges with an empty lune, ascending.

    Most lunes contain one of the `near` nearest neighbours of an end. These edges are removed
    first, so that few lunes are searched over all vertices. `block` edges are searched at a time.
    """
    n, ranks = len(edges.rank), np.arange(len(edges.length))
    neighbours = np.argpartition(edges.rank, min(near, n - 1), axis=1)[:, :near]
    for candidates in (lambda ends: neighbours[ends[0]], lambda ends: np.arange(n)[None]):
        empty = [np.zeros(0, int)]
        for part in np.split(ranks, range(block, len(ranks), block)):
            ends = edges.ends[:, part]
            first, second = (edges.rank[end[:, None], candidates(ends)] for end in ends)
            empty.append(part[~(np.maximum(first, second) < part[:, None]).any(1)])
        ranks = np.concatenate(empty)
    return ranks


def critical_triangles(edges: Filtration, block: int = 1024) -> np.ndarray:
    """Keys r N + v of the triangles in no apparent pair, ascending.

    v is in the lune of r but not its first vertex, and no w < v of the lune has an edge to v
    before r. `block` edges r are searched at a time.
    """
    n, keys = len(edges.rank), [np.zeros(0, int)]
    vertices = np.arange(n)[None]
    for start in range(0, len(edges.length), block):
        r = np.arange(start, min(start + block, len(edges.length)))
        lune = np.maximum(*edges.rank[edges.ends[:, r]]) < r[:, None]
        first = lune.argmax(1)
        far = lune & (edges.rank[first] > r[:, None]) & (vertices != first[:, None])
        row, v = np.nonzero(far)
        alone = ~(lune[row] & (edges.rank[v] < r[row, None]) & (vertices < v[:, None])).any(1)
        keys.append(r[row[alone]] * n + v[alone])
    return np.concatenate(keys)


class Coboundary:
    """The coboundary of a growing sum of k-simplices.

    Simplices are given by keys: r for an edge, r N + v for a triangle.

    cochain: the sum, a boolean tensor symmetric in its k + 1 axes.
    touched: marks the facets at which the coboundary may have an entry.
    """

    def __init__(self, edges: Filtration, k: int):
        n = len(edges.rank)
        self.edges, self.k, self.unit = edges, k, n ** (k - 1)
        self.cochain = np.zeros((n,) * (k + 1), bool)
        self.touched = np.zeros(len(edges.length) * self.unit, bool)
        self.vertices = np.arange(n)[None]

    def corners(self, keys: np.ndarray) -> tuple[np.ndarray, ...]:
        """The k + 1 vertices of each simplex."""
        longest, rest = np.divmod(keys, self.unit)
        return (*self.edges.ends[:, longest], rest)[: self.k + 1]

    def add(self, keys: np.ndarray) -> np.ndarray:
        """Adds distinct simplices, and returns the latest facets of their cofaces, now touched."""
        corners = self.corners(keys)
        for axes in itertools.permutations(corners):
            self.cochain[axes] ^= True
        new = [self.edges.rank[corner] for corner in corners]
        none = len(self.edges.length)
        if self.k == 1:
            latest = np.maximum(np.maximum(*new), keys[:, None])
        else:
            sides = np.stack([np.broadcast_to((keys // self.unit)[:, None], new[0].shape), *new])
            a, b, c = (corner[:, None] for corner in corners)
            # the larger of the two vertices outside of the longest side
            outside = [
                np.maximum(c, self.vertices),
                np.maximum(b, c),
                np.maximum(a, c),
                np.maximum(a, b),
            ]
            longest = sides.max(0).astype(np.int64)
            facet = longest * self.unit + np.choose(sides.argmax(0), outside)
            latest = np.where(longest < none, facet, none * self.unit)
        latest = latest[latest < len(self.touched)]
        self.touched[latest] = True
        return latest

    def clear(self, keys: np.ndarray, touched: list[np.ndarray]) -> None:
        """Resets the sum to zero, given its simplices and the results of `add`."""
        for axes in itertools.permutations(self.corners(keys)):
            self.cochain[axes] = False
        for latest in touched:
            self.touched[latest] = False

    def lines(self, facets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The lune of each facet, (F, N), and the entries of the coboundary in it."""
        corners = self.corners(facets)
        before = self.edges.rank[corners[0]]
        for corner in corners[1:]:
            before = np.maximum(before, self.edges.rank[corner])
        lune = before < (facets // self.unit)[:, None]
        if self.k > 1:
            lune &= self.vertices < corners[-1][:, None]
        parity = self.cochain[corners][:, None]
        for face in itertools.combinations(corners, self.k):
            parity = parity ^ self.cochain[face]
        return lune, lune & parity

    def next_facets(self, start: int, block: int) -> np.ndarray:
        """The next touched facets from `start` on, at most `block`; empty if there are none."""
        if start >= len(self.touched):
            return np.zeros(0, int)
        first = start + int(self.touched[start:].argmax())
        return first + np.flatnonzero(self.touched[first : first + SPAN])[:block]


def reduce(edges: Filtration, k: int, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Deaths of the k-simplices `columns` (keys, ascending).

    Returns the rank of the longest edge and the key of the (k + 1)-simplex of each death, both -1
    if there is none.
    """
    coboundary, reduced = Coboundary(edges, k), {}
    deaths = np.full((2, len(columns)), -1)
    for i in range(len(columns) - 1, -1, -1):
        keys, pivot = _reduce_column(coboundary, reduced, columns[i : i + 1])
        if pivot is not None:
            reduced[pivot] = keys
            facet, vertex = pivot
            deaths[:, i] = facet // coboundary.unit, facet * len(edges.rank) + vertex
    return deaths[0], deaths[1]


def _reduce_column(
    coboundary: Coboundary, reduced: dict[tuple[int, int], np.ndarray], column: np.ndarray
) -> tuple[np.ndarray, tuple[int, int] | None]:
    """The simplices of the reduced column, and its pivot (facet, vertex), None if it is zero.

    `reduced` holds the simplices of later columns by pivot. `coboundary` is zero before and after.
    """
    simplices, adding = set(), column
    touched, start, block, pivot = [], 0, BLOCK, None
    while True:
        if len(adding):
            simplices ^= set(adding.tolist())
            touched.append(coboundary.add(adding))
            start = start if start else int(touched[0].min(initial=len(coboundary.touched)))
        facets, adding = coboundary.next_facets(start, block), adding[:0]
        block = min(2 * block, 8 * BLOCK)
        if not len(facets):
            pivot = None
            break
        lune, entries = coboundary.lines(facets)
        nonzero = np.flatnonzero(entries.any(1))
        if not len(nonzero):
            start = int(facets[-1]) + 1
            continue
        block, start = BLOCK, int(facets[nonzero[0]])
        first = entries[nonzero].argmax(1)
        apparent = first == lune[nonzero].argmax(1)
        pivot = (start, int(first[0]))
        if apparent[0]:
            # adds later facets ahead of their turn, up to the first that may end the column
            adding = facets[nonzero[: len(nonzero) if apparent.all() else apparent.argmin()]]
        elif pivot in reduced:
            adding = reduced[pivot]
        else:
            break
    keys = np.fromiter(simplices, int, len(simplices))
    coboundary.clear(keys, touched)
    return keys, pivot


def bars(birth: np.ndarray, death: np.ndarray) -> np.ndarray:
    """The diagram (n, 2), sorted by birth, then death, without bars of length 0."""
    diagram = np.stack([birth, death], axis=1)
    diagram = diagram[birth < death]
    return diagram[np.lexsort((diagram[:, 1], diagram[:, 0]))]


def diagrams(
    distance_NN: np.ndarray, top: int = 1, threshold: float | None = None
) -> list[np.ndarray]:
    """Persistence diagrams of H0 to H`top`, each an array (n, 2) of birth and death.

    Deaths beyond `threshold` are infinite. At the default threshold, the enclosing radius, only one
    component is left. Bars of length 0 are omitted.
    Raises ValueError for a top other than 0, 1 or 2, and the errors of `filtration`.
    """
    if top not in (0, 1, 2):
        raise ValueError(f"top must be 0, 1 or 2, got {top}")
    edges = filtration(distance_NN, threshold)
    value: Callable = lambda ranks: np.append(edges.length, np.inf)[ranks]  # rank -1: infinite
    tree = spanning_forest(edges)
    deaths = np.concatenate([tree, np.full(len(edges.rank) - len(tree), -1)])
    result = [bars(np.zeros(len(deaths)), value(deaths))]
    cleared = tree
    for k, critical in ((1, neighbourhood_graph), (2, critical_triangles))[:top]:
        columns = np.setdiff1d(critical(edges), cleared)
        longest, cleared = reduce(edges, k, columns)
        result.append(bars(value(columns // len(edges.rank) ** (k - 1)), value(longest)))
    return result
