"""Cosines and analogies of vectors, and the whole study on a small text."""

import dataclasses

import jax
import numpy as np
import pytest
from panorax.configs.theory import word_embedding as config

from panorax.core.errors import UserError
from panorax.core.study import measured
from panorax.theory.word_embedding import evaluation, study, word_pairs


def test_analogies_are_solved_by_vectors_that_add_up():
    names = ("file", "files", "line", "lines", "path", "paths", "is")
    corpus = word_pairs.Words(names, np.ones(7), ())
    questions = evaluation.analogies(corpus, np.random.default_rng(0), 2)
    assert questions.shape == (6, 4) and all(a != b for a, _, b, _ in questions)
    stems, plural = np.eye(5)[:3], np.eye(5)[4]
    x = np.stack([*(stems[i // 2] + (i % 2) * plural for i in range(6)), np.eye(5)[3]])
    assert evaluation.solved_share(x, questions) == 1.0
    assert evaluation.solved_share(x, questions[:0]) == 0.0
    assert evaluation.neighbours(x, corpus, ("file", "none"), 1) == "file: files\n"
    with pytest.raises(UserError, match="no pair of related words is in the text"):
        evaluation.related_pairs(corpus, ("true:false",))


def test_related_words_are_pairs():
    with pytest.raises(ValueError, match="related must be pairs word:word, got true"):
        study.Config(related=("true",))


def test_a_text_that_is_too_short_is_refused(tmp_path):
    (tmp_path / "short.txt").write_text("the file reads the file\n" * 3)
    cfg = study.Config(path=str(tmp_path / "short.txt"), least=1, width=2, related=("the:file",))
    with pytest.raises(UserError, match="text has [0-9]* pairs, fewer than a batch of 2048"):
        study.training(jax.random.key(0), cfg)
    with pytest.raises(UserError, match="3 words that occur 1 times, and vectors of 9 dimensions"):
        study.read(dataclasses.replace(cfg, width=9))


def test_a_small_study_has_all_metrics():
    result = measured(study.study(config.smoke()), jax.random.key(0))
    assert abs(result.metrics["related_cosine_at_first"]) < 0.5
    assert result.metrics["optimum_gap"] < 0.1
    assert {*result.figures} == {"training.png", "neighbours.txt"}
