"""Packing: every trained token once, texts apart, and rows as full as they can be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panorax.data import packing
from panorax.data.packing import Example

LENGTHS = st.lists(st.integers(2, 12), min_size=1, max_size=30)


def examples(lengths):
    """Texts of different ids whose second half is trained."""
    ids = iter(range(1, 10_000))
    return [
        Example([next(ids) for _ in range(n)], [i >= n // 2 for i in range(n)]) for n in lengths
    ]


@given(LENGTHS)
def test_each_text_is_in_one_row_and_is_trained_as_alone(lengths):
    rows = packing.pack(examples(lengths), 9)
    assert {name: (x.shape, x.dtype) for name, x in rows.items()} == {
        name: (x.shape, x.dtype) for name, x in packing.shapes(len(rows["tokens"]), 9).items()
    }
    trained = []
    for tokens, segments, positions, weights in zip(
        rows["tokens"], rows["segments"], rows["positions"], rows["weights"]
    ):
        for n in range(1, segments.max() + 1):
            (at,) = np.nonzero(segments == n)
            assert list(np.diff(at)) == [1] * (len(at) - 1)
            assert list(np.diff(tokens[at])) == [1] * (len(at) - 1)
            assert list(positions[at]) == list(range(len(at)))
        assert not tokens[segments == 0].any() and not weights[segments[1:] == 0].any()
        trained += list(tokens[1:][weights > 0])
    expected = [
        i
        for ids, counted in examples(lengths)
        for i, is_trained in list(zip(ids, counted))[1:10]
        if is_trained and any(counted[1:10])
    ]
    assert sorted(trained) == expected


def test_rows_are_filled_and_unpacked():
    rows = packing.pack(examples([6, 4, 7, 3, 10, 2]), 9)
    assert len(rows["tokens"]) == 4 and packing.texts(rows) == 6
    assert packing.filled(rows) == pytest.approx(32 / 40)
    alone = packing.unpack(rows)
    assert len(alone["tokens"]) == 6 and (alone["segments"].max(1) == 1).all()
    assert alone["weights"].sum() == rows["weights"].sum()
    assert set(alone["tokens"].ravel()) == set(rows["tokens"].ravel())


def test_a_text_without_an_answer_in_the_row_is_left_out_and_no_token_crosses_texts():
    late = Example([1, 2, 3, 4], [False, False, False, True])
    assert len(packing.pack([late], 2)["tokens"]) == 0
    first = Example([5, 6], [True, True])  # its first token has nothing before it
    rows = packing.pack([first, first], 3)
    np.testing.assert_array_equal(rows["weights"], [[1, 0, 1]])


def test_balanced_weights_count_every_trained_token_of_a_batch_alike():
    rows = packing.balanced(packing.pack(examples([10, 9, 3]), 9))
    weights = rows["weights"]
    assert weights.sum() == pytest.approx(len(weights))
    assert len(set(weights[weights > 0])) == 1
