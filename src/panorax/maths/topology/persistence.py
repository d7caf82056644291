"""Persistent homology over Z/2 of the Vietoris-Rips filtration: diagrams of H0, H1 and H2 from distances.

The complex at scale t holds every set of points whose distances are all <= t; a simplex enters at its longest edge. Order the edges by length
(equal ones in any way) to ranks; a triangle is its longest edge r and the third vertex v, a tetrahedron is (r, v, w) with v > w: all simplices are
ordered by these tuples, and those in the boundary of one come before it. Bauer's Ripser (2021, arXiv:1908.02518) reduces coboundaries d s of
simplices s, last s first: the pivot of a column is the earliest simplex in it, and while the pivot is that of a later column, this one is added.
What is left pairs birth s with death pivot.

Three facts keep the work small. (1) Clearing: a simplex that is a death needs no column. (2) Apparent pairs: where the earliest coface of s has s as
its latest facet, the two are a pair, of length 0. An edge ab is in one if and only if its lune {c: ac and bc before ab} is not empty; its partner is
(ab, c) with the least such c. The edges left are those of the relative neighbourhood graph (Toussaint 1980), of the order of N; the minimum spanning
tree, whose edges are the deaths of H0, is part of it and cleared. (3) Columns are never stored: with the sum V of simplices added so far as a boolean
tensor, the entries of d V whose latest facet is f = (f0 .. fk), f0 f1 its longest edge, are those of a line over the vertices w,

    (d V)(f + w) = V[f] + sum_i V[f - fi + w]  mod 2,      w in the lune of f:  all edges w fi before f0 f1, and w < fk where k > 1,

looked at where f is the latest facet of a coface of what was added. If the first entry is the first of the lune, f itself is the column to add.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

BLOCK, SPAN = 8, 4096
"""facets looked at together, and how far apart they may lie"""


@dataclass(frozen=True)
class Filtration:
    """Edges by rank: `length` ascending, their `ends`, and the `rank` of every two points, E where there is no edge."""

    rank: np.ndarray  # (N, N)
    ends: np.ndarray  # (2, E)
    length: np.ndarray  # (E,)


def distances(x_ND: np.ndarray) -> np.ndarray:
    """Euclidean distances (N, N) of points, in float64. Raises ValueError for another shape, no point, or numbers that are not finite."""
    from scipy.spatial.distance import pdist, squareform

    x_ND = np.asarray(x_ND, np.float64)
    if x_ND.ndim != 2 or 0 in x_ND.shape:
        raise ValueError(
            f"points must be an array (N, D) with N and D at least 1, got shape {x_ND.shape}"
        )
    if not np.isfinite(x_ND).all():
        raise ValueError("points must be finite numbers")
    return squareform(pdist(x_ND)) if len(x_ND) > 1 else np.zeros((1, 1))


def enclosing_radius(distance_NN: np.ndarray) -> float:
    """min_i max_j d(i, j): from there on the complex is a cone over point i, and has no homology but one component."""
    return float(np.max(distance_NN, axis=1).min())


def filtration(distance_NN: np.ndarray, threshold: float | None = None) -> Filtration:
    """Edges no longer than the threshold, by default the enclosing radius. Raises ValueError for what is no symmetric matrix of distances >= 0 with
    zeros on its diagonal; the triangle inequality is not asked for, and an infinite distance is no edge."""
    distance_NN = np.asarray(distance_NN, np.float64)
    if (
        distance_NN.ndim != 2
        or distance_NN.shape[0] != distance_NN.shape[1]
        or distance_NN.size == 0
    ):
        raise ValueError(
            f"distances must be a square matrix of at least one point, got shape {distance_NN.shape}"
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
    """Ranks of the edges with an empty lune, ascending. Most lunes hold one of the `near` nearest neighbours of an end: only the others are
    searched whole."""
    n, left = len(edges.rank), np.arange(len(edges.length))
    neighbours = np.argpartition(edges.rank, min(near, n - 1), axis=1)[:, :near]
    for among in (lambda ends: neighbours[ends[0]], lambda ends: np.arange(n)[None]):
        found = [np.zeros(0, int)]
        for some in np.split(left, range(block, len(left), block)):
            ends = edges.ends[:, some]
            first, second = (edges.rank[end[:, None], among(ends)] for end in ends)
            found.append(some[~(np.maximum(first, second) < some[:, None]).any(1)])
        left = np.concatenate(found)
    return left


def critical_triangles(edges: Filtration, block: int = 1024) -> np.ndarray:
    """Keys r N + v of the triangles that are in no apparent pair, ascending: v is in the lune of r, not its first, and no w < v of the lune is near
    to v."""
    n, found = len(edges.rank), [np.zeros(0, int)]
    vertices = np.arange(n)[None]
    for start in range(0, len(edges.length), block):
        r = np.arange(start, min(start + block, len(edges.length)))
        lune = np.maximum(*edges.rank[edges.ends[:, r]]) < r[:, None]
        first = lune.argmax(1)
        far = lune & (edges.rank[first] > r[:, None]) & (vertices != first[:, None])
        row, v = np.nonzero(far)
        alone = ~(lune[row] & (edges.rank[v] < r[row, None]) & (vertices < v[:, None])).any(1)
        found.append(r[row[alone]] * n + v[alone])
    return np.concatenate(found)


class Coboundary:
    """The coboundary of a growing sum of k-simplices, given by keys: r of edges, r N + v of triangles.

    `cochain` is the sum, symmetric in its k + 1 axes; `touched` are the facets at which its coboundary may have an entry."""

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
        """Add simplices, none of them twice; the keys of the latest facets of their cofaces, which are now touched."""
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
            others = [
                np.maximum(c, self.vertices),
                np.maximum(b, c),
                np.maximum(a, c),
                np.maximum(a, b),
            ]  # than the ends of the longest side
            longest = sides.max(0).astype(np.int64)
            latest = np.where(
                longest < none,
                longest * self.unit + np.choose(sides.argmax(0), others),
                none * self.unit,
            )
        latest = latest[latest < len(self.touched)]
        self.touched[latest] = True
        return latest

    def clear(self, keys: np.ndarray, touched: list[np.ndarray]) -> None:
        """Back to zero, given the simplices of the sum and what `add` answered."""
        for axes in itertools.permutations(self.corners(keys)):
            self.cochain[axes] = False
        for latest in touched:
            self.touched[latest] = False

    def lines(self, facets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For each facet the lune (F, N), and where in it the coboundary is 1."""
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
        """At most `block` touched facets, the first from `start` on among them; none if there is none."""
        if start >= len(self.touched):
            return np.zeros(0, int)
        first = start + int(self.touched[start:].argmax())
        return first + np.flatnonzero(self.touched[first : first + SPAN])[:block]


def reduce(edges: Filtration, k: int, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Deaths of the k-simplices `columns` (keys, ascending) as keys: of the longest edge, and of the (k + 1)-simplex; both -1 where there is no
    death."""
    coboundary, reduced = Coboundary(edges, k), {}
    deaths = np.full((2, len(columns)), -1)
    for i in range(len(columns) - 1, -1, -1):
        held, adding = set(), columns[i : i + 1]
        touched, start, block, pivot = [], 0, BLOCK, None
        while True:
            if len(adding):
                held ^= set(adding.tolist())
                touched.append(coboundary.add(adding))
                start = start if start else int(touched[0].min(initial=len(coboundary.touched)))
            facets, adding, block = (
                coboundary.next_facets(start, block),
                adding[:0],
                min(2 * block, 8 * BLOCK),
            )
            if not len(facets):
                break
            lune, entries = coboundary.lines(facets)
            some = np.flatnonzero(entries.any(1))
            if not len(some):
                start = int(facets[-1]) + 1
                continue
            block, start = BLOCK, int(facets[some[0]])
            first = entries[some].argmax(1)
            apparent = first == lune[some].argmax(1)
            if apparent[
                0
            ]:  # later ones are added ahead of their turn, up to the first that may end the column
                adding = facets[some[: len(some) if apparent.all() else apparent.argmin()]]
            elif (pivot := (start, int(first[0]))) in reduced:
                adding = reduced[pivot]
            else:
                break
        keys = np.fromiter(held, int, len(held))
        coboundary.clear(keys, touched)
        if len(facets):
            reduced[pivot] = keys
            deaths[:, i] = start // coboundary.unit, start * len(edges.rank) + pivot[1]
    return deaths[0], deaths[1]


def bars(birth: np.ndarray, death: np.ndarray) -> np.ndarray:
    """The diagram (n, 2), sorted by birth, then death, without bars of length 0."""
    diagram = np.stack([birth, death], axis=1)
    diagram = diagram[birth < death]
    return diagram[np.lexsort((diagram[:, 1], diagram[:, 0]))]


def diagrams(
    distance_NN: np.ndarray, top: int = 1, threshold: float | None = None
) -> list[np.ndarray]:
    """Persistence diagrams of H0 to H`top`, each an array (n, 2) of birth and death, infinite for what does not die up to the threshold (by default
    the enclosing radius, where all but one component has died). Bars of length 0 are left out. Raises ValueError for a top other than 0, 1 or 2,
    and where `filtration` does."""
    if top not in (0, 1, 2):
        raise ValueError(f"homology is computed up to H0, H1 or H2, not H{top}")
    edges = filtration(distance_NN, threshold)
    value: Callable = lambda ranks: np.append(edges.length, np.inf)[ranks]  # of -1: never
    tree = spanning_forest(edges)
    deaths = np.concatenate([tree, np.full(len(edges.rank) - len(tree), -1)])
    found = [bars(np.zeros(len(deaths)), value(deaths))]
    cleared = tree
    for k, critical in ((1, neighbourhood_graph), (2, critical_triangles))[:top]:
        columns = np.setdiff1d(critical(edges), cleared)
        longest, cleared = reduce(edges, k, columns)
        found.append(bars(value(columns // len(edges.rank) ** (k - 1)), value(longest)))
    return found
