"""Turns, ratios and dropped ratios, with contenders that sleep."""

import itertools
from pathlib import Path

import pytest

from panorax.bench import rounds
from panorax.bench.comparison import dropped
from panorax.bench.rounds import compare, ratio, spread
from panorax.bench.table import Table
from panorax.core.errors import UserError

HERE = {"PYTHONPATH": str(Path(__file__).parent)}


def test_ratio_of_a_contender_twice_as_fast(tmp_path):
    measured = compare(
        {"ours": "contenders:steady", "theirs, slow": "contenders:half"},
        {"n": 1},
        tmp_path,
        3,
        HERE,
    )
    ours = measured["ours"]
    assert ours.facts["settings"] == {"n": 1} and len(ours.rates) == 3 and ours.peak_mb > 1
    assert all(50 < rate <= 150 for rate in ours.rates)
    table = Table("units/s")
    table.add("case", measured, against="theirs, slow")
    assert 1.2 < table.metrics["case_ours_ratio"] < 3
    assert table.metrics["case_theirs_slow_ratio"] == 1
    assert [row["contender"] for row in table.rows] == ["ours", "theirs, slow"]
    assert "units/s" in table.shown() and len(table.shown().splitlines()) == 3


def test_order_of_turns_reverses_and_contenders_may_print(tmp_path, monkeypatch):
    monkeypatch.setattr(rounds, "FOREIGN", float("inf"))  # no turn is repeated
    compare(
        {"a": "contenders:noted", "b": "contenders:prints", "c": "contenders:noted"},
        {},
        tmp_path,
        2,
        HERE,
    )
    a, c, *rest = (tmp_path / "turns").read_text().split()
    assert a != c and rest == [c, a, a, c]


def test_disturbed_turn_is_repeated(monkeypatch):
    clock = itertools.chain([0.0, 9.0, 9.0, 9.0], itertools.repeat(9.0))
    monkeypatch.setattr(rounds, "_busy", lambda: next(clock))
    turns = []
    took, foreign = rounds.alone(
        lambda: turns.append(len(turns)) or {"turn": len(turns), "cpu": 0.0}
    )
    assert (took["turn"], foreign) == (2, 0.0)


@pytest.mark.parametrize(
    "name, error, message",
    [
        ("without_package", ModuleNotFoundError, "a_package_that_does_not_exist"),
        ("broken", UserError, "contenders:broken ended: ValueError: two and two are five"),
        ("fails_at_work", UserError, "ZeroDivisionError"),
        ("of_no_such_name", UserError, "AttributeError"),
    ],
)
def test_failed_contender_raises_its_last_line(tmp_path, name, error, message):
    with pytest.raises(error, match=message):
        compare({"one": f"contenders:{name}"}, {}, tmp_path, 1, HERE)


def test_an_optional_contender_that_does_not_run_is_listed_with_its_reason(tmp_path):
    names = ("steady", "without_package", "broken", "fails_at_work")
    contenders = {name: f"contenders:{name}" for name in names}
    measured = compare(contenders, {}, tmp_path, 1, HERE, optional=names[1:])
    table = Table("units/s")
    table.add("case", measured, against="steady")
    assert [row["contender"] for row in table.rows] == ["steady"]
    assert [row["contender"] for row in table.refused] == list(names[1:])
    assert list(table.metrics) == ["case_steady_ratio"]
    last = table.shown().splitlines()[-3:]
    reasons = ("No module named 'a_package_that", "two and two are five", "ZeroDivisionError")
    assert all(reason in line for reason, line in zip(reasons, last, strict=True))
    with pytest.raises(UserError, match="two and two are five"):
        compare(contenders, {}, tmp_path, 1, HERE, optional=("without_package",))


def test_times_from_process_start(tmp_path):
    contenders = {"ours": "contenders:steady", "theirs": "contenders:half"}
    answers = rounds.start(contenders, {}, tmp_path, 2, HERE)
    assert [answer["facts"]["settings"] for answer in answers["ours"]] == [{"seed": 1}, {"seed": 2}]
    walls = {"ours": 2.0, "theirs": 6.0}
    fixed = {name: [a | {"wall": walls[name]} for a in answers[name]] for name in answers}
    table = Table("units/s")
    table.add_times("solved", fixed, "theirs")
    assert table.metrics["solved_ours_seconds"] == 2
    assert table.metrics["solved_ours_ratio"] == 3
    assert table.metrics["solved_ours_compile_seconds"] == 0.5
    assert "2.00s" in table.shown()


def test_ratio_divides_rates_of_the_same_round():
    assert ratio([2.0, 6.0, 4.0], [1.0, 2.0, 4.0]) == {"median": 2.0, "lowest": 1.0, "highest": 3.0}
    assert spread([1.0, 9.0, 2.0])["median"] == 2.0
    assert spread([3.0, 1.0]) == {"median": 2.0, "lowest": 1.0, "highest": 3.0}


def test_dropped_names_ratios_that_fell_by_more_than_a_quarter():
    recorded = {
        "metrics": {
            "a_panorax_ratio": 2.0,
            "b_panorax_ratio": 2.0,
            "a_torch_ratio": 1.0,
            "c_panorax_ratio": 3.0,
        }
    }
    now = {
        "config": "x",
        "metrics": {
            "a_panorax_ratio": 1.49,
            "b_panorax_ratio": 1.51,
            "a_torch_ratio": 0.1,
            "new_panorax_ratio": 0.1,
        },
    }
    assert dropped(now, recorded) == ["x: a_panorax_ratio is 1.49, 2 was recorded"]
