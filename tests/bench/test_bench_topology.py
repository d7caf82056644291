"""What the comparison with Ripser says where diagrams are equal, and where they are not."""

import numpy as np

from panorax.bench.topology import CONTENDERS, Config, clouds, difference, panorax

INF = np.inf


def test_bars_are_compared_one_by_one():
    one = np.array([[0, 1], [0.5, 3], [0, INF]])
    assert difference(one, one[::-1]) == 0 and difference(np.zeros((0, 2)), np.zeros((0, 2))) == 0
    assert difference(one, one + np.array([[0, 0], [0, 0.25], [0, 0]])) == 0.25
    assert difference(one, one[:2]) == INF == difference(one, np.array([[0, 1], [0.5, 3], [0, 9]]))
    assert difference(np.zeros(0), one) == INF


def test_ours_does_its_work_and_tells_its_diagrams(tmp_path):
    cfg = Config(points=20, on_sphere=20)
    for x, top in clouds(cfg).values():
        np.save(tmp_path / "points.npy", x)
        facts, work = panorax({"top": top, "repeats": 2}, tmp_path)
        assert (
            work() == 2 * len(x)
            and len(facts["diagrams"]) == top + 1
            and len(facts["diagrams"][0]) == len(x)
        )
    assert all(path.startswith("panorax.bench.topology:") for path in CONTENDERS.values())
