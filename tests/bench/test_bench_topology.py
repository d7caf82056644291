"""The difference between diagrams, and our contender."""

import numpy as np

from panorax.bench.topology import CONTENDERS, Config, clouds, difference, panorax

INF = np.inf


def test_difference_compares_sorted_bars():
    bars = np.array([[0, 1], [0.5, 3], [0, INF]])
    assert difference(bars, bars[::-1]) == 0
    assert difference(np.zeros((0, 2)), np.zeros((0, 2))) == 0
    assert difference(bars, bars + np.array([[0, 0], [0, 0.25], [0, 0]])) == 0.25


def test_difference_is_infinite_if_numbers_of_bars_differ():
    bars = np.array([[0, 1], [0.5, 3], [0, INF]])
    assert difference(bars, bars[:2]) == INF
    assert difference(bars, np.array([[0, 1], [0.5, 3], [0, 9]])) == INF
    assert difference(np.zeros(0), bars) == INF


def test_our_contender_reports_its_diagrams(tmp_path):
    cfg = Config(points=20, on_sphere=20)
    for x, top in clouds(cfg).values():
        np.save(tmp_path / "points.npy", x)
        facts, work = panorax({"top": top, "repeats": 2}, tmp_path)
        assert work() == 2 * len(x)
        assert len(facts["diagrams"]) == top + 1
        assert len(facts["diagrams"][0]) == len(x)
    assert all(path.startswith("panorax.bench.topology:") for path in CONTENDERS.values())
