import numpy as np

from panorax.bench.rl import search as bench

SETTING = vars(bench.Config(simulations=4, batch=2, actions=3, width=4))


def test_contender_counts_its_simulations(tmp_path):
    facts, work = bench.by_panorax(SETTING | {"policy": "gumbel"}, tmp_path)
    assert work() == 256 * 2 * 4
    np.testing.assert_array_equal(np.sum(facts["visits"], -1), [4, 4])
