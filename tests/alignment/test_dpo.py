"""Preferences as rows, objectives on them, and RLHF's optimum where answers can be listed."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from panorax.configs.alignment import dpo as config

from panorax import cli
from panorax.alignment import dpo, enumerable, objectives, pairs
from panorax.core import spec as core_spec
from panorax.core.errors import UserError
from panorax.data.conversations import Preference
from panorax.data.tokenizer import BytePairs, with_chat
from panorax.nets.decoders import decoder, packed
from panorax.nets.decoders.llama import Model
from panorax.ops.losses import cross_entropy
from panorax.testing.tolerances import LAYER, NUMBER

TOKENS = with_chat(BytePairs.train(["What is"], 257))
MODEL = Model(vocab=262, d_model=16, n_layers=2, n_heads=2, n_kv_heads=1, d_ff=8)
NET = packed.net(MODEL)
KINDS = [objectives.DPO(), objectives.IPO(), objectives.KTO(), objectives.ORPO()]
KINDS += [objectives.SimPO()]


def said(role, text):
    return ({"role": role, "content": text},)


SPLIT = [
    Preference(said("user", f"What is {i}?"), said("assistant", "yes"), said("assistant", "n" * i))
    for i in (1, 2, 3, 4)
]


@pytest.fixture(scope="module")
def rows():
    loaded = pairs.load((SPLIT, SPLIT[:2], "here"), TOKENS, 24)
    return jax.tree.map(jnp.asarray, loaded.train)


@pytest.fixture(scope="module")
def models():
    return [core_spec.init(NET.spec, jax.random.key(seed)) for seed in (0, 1)]


def test_log_probabilities_are_those_of_the_answer_after_its_prompt(rows, models):
    (ours,) = dpo.log_probs(models[0], rows, ["rejected"], NET)
    for log_prob, pair in zip(ours, SPLIT):
        ids = [*TOKENS.chat(pair.prompt), *TOKENS.encode(pair.rejected[0]["content"]), TOKENS.end]
        logits = decoder.apply(models[0], jnp.asarray(ids)[None, :-1], MODEL)[0]
        start = len(TOKENS.chat(pair.prompt)) - 1
        alone = -cross_entropy(logits, jnp.asarray(ids[1:]))[start:].sum()
        np.testing.assert_allclose(log_prob, alone, **LAYER)


def test_a_mismatched_answer_is_that_of_the_next_pair(rows):
    chosen = said("assistant", "other")
    different = [SPLIT[0], SPLIT[1]._replace(chosen=chosen)]
    mismatched = pairs.load((different, different, ""), TOKENS, 24).train["mismatched"]
    expected = pairs.answered(SPLIT[0].prompt, chosen, TOKENS)
    np.testing.assert_array_equal(mismatched["tokens"][0][: len(expected.ids)], expected.ids)
    assert mismatched["weights"][0].sum() == len("other") + 1
    assert {x["tokens"].shape for x in rows.values()} == {(4, 25)}


@pytest.mark.parametrize("objective", KINDS, ids=lambda x: type(x).__name__)
def test_an_objective_prefers_the_chosen_answer_and_moves_only_the_policy(objective, rows, models):
    of = lambda params, reference: dpo.loss_fn(params, reference, rows, None, NET, objective)[0]
    reference = models[1] if objective.reads_reference else ()
    gradients = jax.jit(jax.grad(of, argnums=(0, 1)))(models[0], reference)
    assert all(not x.any() for x in jax.tree.leaves(gradients[1]))
    scores = dpo.scores(models[0], reference, rows, objective, NET)
    by_answer = lambda x: jnp.sum(objective.losses(scores._replace(**x)))
    of_chosen = jax.grad(lambda x: by_answer({"chosen": x}))(scores.chosen)
    of_rejected = jax.grad(lambda x: by_answer({"rejected": x}))(scores.rejected)
    assert (of_chosen < 0).all() and (of_rejected > 0).all()


def test_the_loss_of_dpo_starts_at_log_2_and_reads_sums_but_ipo_reads_averages(rows, models):
    loss, (_, metrics) = dpo.loss_fn(models[0], models[0], rows, None, NET, objectives.DPO())
    np.testing.assert_allclose(loss, np.log(2), **NUMBER)
    assert metrics["margin"] == 0 and metrics["accuracy"] == 0
    scores = dpo.scores(models[0], models[1], rows, objectives.IPO(beta=0.5), NET)
    chosen, rejected = scores.ratios()
    expected = np.square(chosen / 4 - rejected / np.arange(2, 6) - 1)  # with the end of an answer
    np.testing.assert_allclose(objectives.IPO(beta=0.5).losses(scores), expected, **LAYER)


def test_padding_of_the_last_batch_does_not_count(rows, models):
    (batch,) = pairs.in_batches(jax.tree.map(np.asarray, rows), 6)
    state = dpo.State(models[0], (), models[1], jnp.int32(0))
    for objective in (objectives.DPO(), objectives.ORPO()):
        totals = dpo.evaluate(state, jax.tree.map(jnp.asarray, batch), None, NET, objective)
        loss, _ = dpo.loss_fn(models[0], models[1], rows, None, NET, objective)
        assert float(totals["eval_loss"][1]) == 4
        np.testing.assert_allclose(totals["eval_loss"][0] / 4, loss, **LAYER)


def test_dpo_reaches_the_optimum_of_rlhf_and_its_reward():
    problem = enumerable.drawn(jax.random.key(3), beta=0.5, prompts=2, answers=4)
    log_best, log_z = enumerable.optimum(problem)
    np.testing.assert_allclose(jnp.exp(log_best).sum(-1), 1.0, **NUMBER)
    ratio = log_best - problem.log_reference
    np.testing.assert_allclose(problem.beta * (ratio + log_z), problem.reward, **LAYER)
    result = enumerable.reached(problem, steps=600)
    assert result["total_variation"] < 0.02 < result["start_variation"]
    assert result["reward_gap"] < 0.02


def test_the_reference_is_dropped_by_objectives_without_one():
    cfg = dataclasses.replace(config.smoke(), objective=objectives.SimPO())
    state = jax.eval_shape(dpo.system(cfg).init_state, jax.random.key(0))
    assert state.extra == ()
    with pytest.raises(UserError, match="every preference is longer than 5 tokens"):
        pairs.load((SPLIT, SPLIT, ""), TOKENS, 5)


def test_a_pair_without_a_loser_ends_the_run_with_one_line(tmp_path, capsys):
    file = tmp_path / "pairs.jsonl"
    file.write_text(json.dumps({"prompt": "a", "chosen": "b"}) + "\n")
    command = ["run", "alignment/dpo", "--smoke", "--workdir", str(tmp_path / "run")]
    assert cli.main([*command, "--data.path", str(file)]) == 2
    error = capsys.readouterr().err
    assert 'line 1: no "rejected", the answer that lost' in error and error.count("\n") == 1


def test_earlier_answers_of_the_prompt_do_not_count():
    prompt = (*said("user", "Hi"), *said("assistant", "Hello"), *said("user", "Bye"))
    ids, counted = pairs.answered(prompt, said("assistant", "Go"), TOKENS)
    assert TOKENS.decode([i for i, c in zip(ids, counted) if c]) == "Go"
    assert sum(counted) == len("Go") + 1 and ids[: -sum(counted)] == TOKENS.chat(prompt)
