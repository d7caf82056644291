import jax
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from panorax.core import spec
from panorax.nets.recurrent.gru import gru, gru_spec
from panorax.testing.tolerances import SAME

PARAMS = spec.init(gru_spec(3, 4), jax.random.key(0))
X = np.random.default_rng(0).normal(size=(2, 6, 3)).astype(np.float32)
H = np.random.default_rng(1).normal(size=(2, 4)).astype(np.float32)
run = jax.jit(gru)


@given(st.lists(st.booleans(), min_size=12, max_size=12))
def test_a_reset_removes_all_earlier_memory(resets):
    resets = np.array(resets).reshape(2, 6)
    _, memories = run(PARAMS, H, X, resets)
    for b in range(2):
        starts = np.flatnonzero(resets[b])
        if len(starts):
            s = starts[-1]
            none = np.zeros((2, 6 - s), bool)
            _, fresh = run(PARAMS, np.zeros_like(H), X[:, s:], none)
            np.testing.assert_allclose(memories[b, s:], fresh[b], **SAME)


@given(st.integers(1, 5))
def test_a_sequence_may_be_split_at_any_step(cut):
    none = np.zeros((2, 6), bool)
    last, memories = run(PARAMS, H, X, none)
    middle, first = run(PARAMS, H, X[:, :cut], none[:, :cut])
    end, second = run(PARAMS, middle, X[:, cut:], none[:, cut:])
    np.testing.assert_allclose(np.concatenate([first, second], 1), memories, **SAME)
    np.testing.assert_allclose(end, last, **SAME)
    np.testing.assert_array_equal(last, memories[:, -1])


def test_an_empty_sequence_keeps_the_memory():
    last, memories = run(PARAMS, H, X[:, :0], np.zeros((2, 0), bool))
    np.testing.assert_array_equal(last, H)
    assert memories.shape == (2, 0, 4)
