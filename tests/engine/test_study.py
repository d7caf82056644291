import functools
import io
import json

import jax
import matplotlib.figure
import pytest

from panorax.core.errors import UserError
from panorax.core.state import Result
from panorax.core.study import family, joined, measured
from panorax.engine import study
from panorax.engine.rundir import entered, refuse
from panorax.theory import em

KEY = jax.random.key(5)


def drawn(key, name):
    """A part with one metric, one text and one picture."""
    return Result(
        {name: float(jax.random.uniform(key))},
        {f"{name}.txt": name, f"{name}.png": matplotlib.figure.Figure()},
    )


def killed(key):
    raise KeyboardInterrupt


PARTS = {name: functools.partial(drawn, name=name) for name in ("a", "b", "c")}


def test_a_study_killed_in_a_part_resumes_at_it_with_the_same_numbers(tmp_path):
    whole, out = measured(PARTS, KEY), io.StringIO()
    with pytest.raises(KeyboardInterrupt):
        study.measure(PARTS | {"b": killed}, KEY, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "a.txt", "parts"]
    unchanged = {"a": killed} | {name: PARTS[name] for name in ("b", "c")}
    result, seconds = study.measure(unchanged, KEY, tmp_path, out)
    assert result.metrics == whole.metrics and set(seconds) == set(PARTS)
    assert {path.name for path in tmp_path.glob("*.*")} == set(whole.figures)
    lines = out.getvalue().splitlines()
    assert lines[0] == "part 1 of 3, a: kept from before" and lines[1] == "part 2 of 3, b ..."
    assert lines[2].startswith("part 2 of 3, b: ") and lines[2].endswith(" s")


def test_a_part_that_was_not_written_completely_runs_again(tmp_path):
    study.measure(PARTS, KEY, tmp_path)
    (tmp_path / "parts" / "c.json").rename(tmp_path / "parts" / "c.json.part")
    result, _ = study.measure(PARTS, KEY, tmp_path)
    assert result.metrics == measured(PARTS, KEY).metrics
    assert json.loads((tmp_path / "parts" / "c.json").read_text())["metrics"].keys() == {"c"}


@pytest.mark.parametrize("content", [b"null", b"[]", b"5", b"\xff", b'{"metrics": 1}', b""])
def test_a_damaged_part_runs_again(tmp_path, content):
    study.measure(PARTS, KEY, tmp_path)
    (tmp_path / "parts" / "c.json").write_bytes(content)
    result, _ = study.measure(PARTS, KEY, tmp_path)
    assert result.metrics == measured(PARTS, KEY).metrics


def test_a_part_with_nan_is_kept_without_nan_in_json(tmp_path):
    parts = {"a": lambda key: Result({"x": float("nan")})}
    for _ in range(2):
        result, _ = study.measure(parts, KEY, tmp_path)
    assert result.metrics == {"x": None}
    assert '"x": null' in (tmp_path / "parts" / "a.json").read_text()


def test_an_error_after_a_finished_part_keeps_the_part(tmp_path):
    directory, cfg = tmp_path / "run", em.Config()
    with pytest.raises(UserError, match="disk is full"):
        with entered(directory, cfg, mesh="", resume=False, step=lambda: 0):
            study.measure({"a": PARTS["a"]}, KEY, directory, io.StringIO())
            raise UserError("disk is full")
    assert (directory / "parts" / "a.json").exists() and (directory / "config.json").exists()


def test_a_study_with_another_option_is_not_resumed(tmp_path):
    with pytest.raises(UserError, match="steps was 2 and is now 3; a study resumes with the opt"):
        refuse(tmp_path, {"steps": (2, 3)}, may_change=None)


def test_two_parts_with_the_same_metric_are_refused():
    with pytest.raises(ValueError, match="two parts of a study measure or draw x"):
        joined([Result({"x": 1.0}), Result({"x": 2.0})])


def test_every_part_has_its_own_key():
    assert len(set(measured(PARTS, KEY).metrics.values())) == len(PARTS)


def test_a_new_last_part_changes_no_other_key():
    assert measured({"a": PARTS["a"]}, KEY).metrics.items() <= measured(PARTS, KEY).metrics.items()


def test_a_family_of_metrics_is_named_by_its_keys():
    assert family("steps_{}", {"adam": 3, 2: 1.5}) == {"steps_adam": 3.0, "steps_2": 1.5}
    assert family("{}_of_{}", {("a", "b"): 1}) == {"a_of_b": 1.0}


def test_figures_are_written_in_every_format_that_is_asked_for(tmp_path):
    study.measure({"a": PARTS["a"]}, KEY, tmp_path, io.StringIO(), ("png", "pdf"))
    assert {path.name for path in tmp_path.glob("a.*")} == {"a.txt", "a.png", "a.pdf"}
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")


def test_a_kept_part_names_the_pictures_that_it_cannot_draw_in_a_new_format(tmp_path):
    study.measure({"a": PARTS["a"]}, KEY, tmp_path, io.StringIO())
    lines = {}
    for formats in (("png",), ("png", "pdf")):
        study.measure(PARTS, KEY, tmp_path, out := io.StringIO(), formats)
        lines[formats] = out.getvalue().splitlines()[0]
        (tmp_path / "parts" / "b.json").unlink()
    file = tmp_path / "parts" / "a.json"
    assert lines["png",] == "part 1 of 3, a: kept from before"
    assert lines["png", "pdf"] == f"{lines['png',]}, without a.pdf: delete {file} to draw them"
    assert (tmp_path / "b.pdf").exists() and not (tmp_path / "a.pdf").exists()
    file.unlink()
    study.measure(PARTS, KEY, tmp_path, io.StringIO(), formats)
    assert (tmp_path / "a.pdf").exists()
