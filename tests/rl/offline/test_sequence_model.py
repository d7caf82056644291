"""The layout of tokens, causality, padding, and acting beside the training forward pass."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from panorax.core import spec as core_spec
from panorax.nets.decoders import decoder
from panorax.nets.decoders.llama import Model
from panorax.rl.environments.environment import Observation
from panorax.rl.offline import sequence_model
from panorax.testing.tolerances import CACHED, LAYER

B, K, A, STEPS, SCALE = 2, 4, 3, 9, 10.0
SHAPE = (2,)
MODEL = Model(A, 8, 2, 2, 1, 8, tied=False)
NET = sequence_model.sequence_model(MODEL, SHAPE, STEPS, SCALE)
PARAMS, _ = NET.init(jax.random.key(0))
FORWARD = jax.jit(lambda window: NET.apply(PARAMS, (), window)[0])


def window(K=K, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "view": rng.normal(size=(B, K, *SHAPE)).astype(np.float32),
        "action": rng.integers(0, A, (B, K)).astype(np.int32),
        "return_to_go": (5 * rng.normal(size=(B, K))).astype(np.float32),
        "timestep": np.arange(K, dtype=np.int32)[None] + np.array([[0], [5]], np.int32),
        "mask": np.ones((B, K), bool),
    }


def test_tokens_are_returns_views_and_actions_in_turn():
    """The logits of the library's decoder over embeddings that numpy computes."""
    x, p = window(), jax.device_get(PARAMS)
    tokens = np.zeros((B, 3 * K, MODEL.d_model), np.float32)
    for b in range(B):
        for k in range(K):
            time = p["timestep"][x["timestep"][b, k]]
            r = p["return_to_go"]["w"][0] * x["return_to_go"][b, k] / SCALE
            tokens[b, 3 * k] = r + p["return_to_go"]["b"] + time
            s = x["view"][b, k] @ p["view"]["w"] + p["view"]["b"]
            tokens[b, 3 * k + 1] = s + time
            tokens[b, 3 * k + 2] = p["decoder"]["embed"][x["action"][b, k]] + time
    logits = jax.jit(lambda tokens: decoder.apply(PARAMS["decoder"], tokens, MODEL))(tokens)
    np.testing.assert_allclose(FORWARD(x), logits[:, 1::3], **LAYER)


@pytest.mark.parametrize("name, moves_own", [("return_to_go", 1), ("view", 1), ("action", 0)])
def test_a_later_token_changes_no_earlier_prediction(name, moves_own):
    """Predictions from step k on see the return and the view of step k, after it its action."""
    x, k = window(), 2
    changed = {key: value.copy() for key, value in x.items()}
    changed[name][:, k] = (changed[name][:, k] + 1) % A if name == "action" else 7
    moved = np.abs(FORWARD(changed) - FORWARD(x)).max((0, 2)) > 0
    np.testing.assert_array_equal(moved, [False, False, bool(moves_own), True])


def test_places_before_the_episode_change_nothing():
    x = window()
    x["mask"][0, :2] = False
    padded = {name: value.copy() for name, value in x.items()}
    for name in ("view", "action", "return_to_go", "timestep"):
        padded[name][0, :2] = 1
    logits = FORWARD(padded)
    np.testing.assert_array_equal(FORWARD(x)[0, 2:], logits[0, 2:])
    short = {name: value[:, 2:] for name, value in x.items()}
    np.testing.assert_allclose(FORWARD(short)[0], logits[0, 2:], **CACHED)


def test_acting_step_by_step_equals_the_forward_pass_over_its_window():
    """Nine steps with a window of four, a new episode of one environment after the fifth."""
    T, target = 9, np.float32([-4.0, 6.0])
    rng = np.random.default_rng(1)
    view, reward = rng.normal(size=(T, B, *SHAPE)), rng.normal(size=(T, B))
    first = np.zeros((T, B), bool)
    first[0] = first[5, 1] = True
    act = jax.jit(sequence_model.conditioned(PARAMS, NET, SHAPE))
    memory, actions = sequence_model.memory(target, SHAPE, K), []
    for t in range(T):
        seen = np.float32(np.concatenate([view[t], reward[t][:, None]], 1))
        memory, action = act(memory, Observation(jnp.asarray(seen)), first[t], None)
        actions.append(np.asarray(action))
        for i in range(B):
            start = 5 if i == 1 and t >= 5 else 0
            steps = np.arange(max(start, t - K + 1), t + 1)
            to_go = [target[i] - reward[start + 1 : s + 1, i].sum() for s in steps]
            prefix = {
                "view": view[steps, i],
                "action": [*(actions[s][i] for s in steps[:-1]), 0],
                "return_to_go": to_go,
                "timestep": steps - start,
                "mask": np.ones(len(steps), bool),
            }
            pad = lambda x: np.pad(x, [(K - len(steps), 0)] + [(0, 0)] * (np.ndim(x) - 1))
            dtypes = {name: value.dtype for name, value in window().items()}
            row = {n: np.stack([pad(x).astype(dtypes[n])] * B) for n, x in prefix.items()}
            logits = FORWARD(row)[0, -1]
            assert actions[t][i] == np.argmax(logits), (t, i)
            held = {name: x[i] for name, x in memory.window.items()}
            row["action"][0, -1] = actions[t][i]
            for name in row:
                np.testing.assert_allclose(held[name], row[name][0], **CACHED)


def test_parameters_are_the_decoder_and_three_embeddings():
    count = functools.partial(core_spec.count)
    D = MODEL.d_model
    assert count(NET.spec) - count(NET.spec["decoder"]) == 2 * D + 3 * D + STEPS * D
