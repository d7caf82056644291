import numpy as np

from panorax.theory.topology.cover import boolean_metrics, missed_counts, sampled_share


def test_all_dichotomies_are_as_many_as_cover_counts():
    assert missed_counts(np.random.default_rng(0), 4) == 0


def test_boolean_functions_of_three_bits():
    assert boolean_metrics(3) == {
        "xor_separable_by_a_line": 0,
        "xor_separable_with_a_product": 1,
        "threshold_functions": 104,  # Muroga 1971
        "parity_degree": 3,
    }


def test_sampled_share_of_fewer_points_than_dimensions_is_one():
    share = sampled_share(np.random.default_rng(0), 3, 4, 20)
    assert share.points == 3 and share.share == 1 and share.z == 0
    low, high = share.interval
    assert low < 1 and high == 1
