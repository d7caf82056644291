import io
import json

import pytest

from panorax.core.errors import UserError
from panorax.engine.metrics import CURVES, Log, draw_curves, read_metrics
from panorax.generative import flow_matching, gan
from panorax.lm import language_model
from panorax.rl import ppo
from panorax.theory import elbo
from panorax.vision import classifier


def write(directory, steps, start=0, out=None):
    with Log(directory, start, out or io.StringIO()) as log:
        log.start(start, 100)
        for step in steps:
            log.train(step, {"loss": float(step)})
        log.evaluation(steps[-1], {"eval_loss": 0.5})


def test_records_are_read_back(tmp_path):
    write(tmp_path, [10, 20])
    assert read_metrics(tmp_path / "metrics.jsonl") == [
        {"step": 10, "split": "train", "loss": 10.0},
        {"step": 20, "split": "train", "loss": 20.0},
        {"step": 20, "split": "eval", "eval_loss": 0.5},
    ]


def test_a_resumed_run_has_neither_gaps_nor_repeats(tmp_path):
    write(tmp_path, [10, 20, 30])
    write(tmp_path, [30, 40], start=20)
    assert [
        r["step"] for r in read_metrics(tmp_path / "metrics.jsonl") if r["split"] == "train"
    ] == [10, 20, 30, 40]


def test_a_truncated_last_line_is_ignored(tmp_path):
    file = tmp_path / "metrics.jsonl"
    file.write_text(json.dumps({"step": 1, "split": "train"}) + '\n{"step": 2, "spl')
    assert [r["step"] for r in read_metrics(file)] == [1]
    write(tmp_path, [2], start=1)
    assert [r["step"] for r in read_metrics(file)] == [1, 2, 2]


def test_curves_pair_training_with_held_out():
    figure = draw_curves(
        [
            {"step": 1, "split": "train", "kl": 0.1, "loss": 2.0},
            {"step": 1, "split": "eval", "eval_loss": 3.0},
        ],
        {},
    )
    assert [ax.get_ylabel() for ax in figure.axes] == ["loss", "kl"]
    assert [line.get_label() for line in figure.axes[0].lines] == ["training", "held out"]
    assert draw_curves([], {}).axes


def test_curves_show_evaluated_metrics_first_and_at_most_six():
    names = [*"abcdefgh", "eval_h"]
    figure = draw_curves([{"step": 1, "split": "train", **dict.fromkeys(names, 1.0)}], {})
    assert [ax.get_ylabel() for ax in figure.axes] == ["h", *"abcdefgh"][:CURVES]


def test_curves_of_reinforcement_learning_count_environment_steps():
    records = [{"step": step, "split": "train", "return": 1.0} for step in (10, 20)]
    [ax] = draw_curves(records, {"environment_steps": 128}).axes
    assert ax.get_xlabel() == "environment steps"
    assert list(ax.lines[0].get_xdata()) == [1280, 2560]
    [ax] = draw_curves(records, {"tokens": 128}).axes
    assert ax.get_xlabel() == "step" and list(ax.lines[0].get_xdata()) == [10, 20]


def test_curves_have_the_units_of_their_metrics():
    records = [{"step": 1, "split": "eval", "eval_loss": 2.0, "eval_bits_per_byte": 1.0}]
    axes = draw_curves(records, {}, {"loss": "nats per token"}).axes
    assert [ax.get_ylabel() for ax in axes] == ["loss\n(nats per token)", "bits per byte"]


@pytest.mark.parametrize("system", [gan, flow_matching, ppo, classifier, language_model, elbo])
def test_a_label_with_its_unit_is_as_short_as_its_panel(system):
    names = [*system.UNITS]
    figure = draw_curves([{"step": 1, **dict.fromkeys(names, 1.0)}], {}, system.UNITS)
    figure.draw_without_rendering()
    for ax in figure.axes[: len(names)]:
        label = ax.yaxis.label.get_window_extent()
        assert 0 <= label.y0 and label.y1 <= figure.bbox.height, ax.get_ylabel()


@pytest.mark.parametrize("line", ["null", "[]", "5", '{"loss": 1.0}', '{"step": 1', "\ufffd"])
def test_a_line_that_is_no_record_is_named(tmp_path, line):
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{{"step": 1, "split": "train", "loss": 2.0}}\n{line}\n')
    with pytest.raises(UserError, match="line 2: expected metrics of a step; delete this line"):
        read_metrics(path)
